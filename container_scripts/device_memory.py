"""Say how much memory of each device is in use, by the vendor's own tool.

Belongs here: asking the tool. Does not belong here: reading its output (device_probes), and what follows
from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Dict, Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts.catalog_data import memory_probes
from container_scripts.commands import run_command
from container_scripts.device_probes import MEMORY_PARSERS
from container_scripts.document import Document, run_program
from container_scripts.vendor_detection import Probe, locate


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vendor", required=True, help="vendor name or alias")
    parser.add_argument("--device", action="append", default=[], help="only this index (repeatable)")
    return parser


def used_memory(probe: Probe) -> Optional[Dict[int, int]]:
    """Return the MiB in use of each device, or None if the tool is not there or does not say."""
    program = locate(probe.argv[0])
    if program is None:
        return None
    done = run_command([program, *probe.argv[1:]], probe.timeout_s, env={"LC_ALL": "C"})
    return (MEMORY_PARSERS[probe.parser](done.output, probe.label) or None) if done.succeeded else None


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body; SKIPPED where no tool tells."""
    probes = memory_probes(arguments.vendor)
    for probe in probes:
        used = used_memory(probe)
        if used is not None:
            wanted = {str(i): used[i] for i in used if not arguments.device or str(i) in arguments.device}
            return {"status": "PASS", "used_mb": wanted, "source": " ".join(probe.argv)}
    tools = ", ".join(sorted({probe.argv[0] for probe in probes}))
    reason = f"{tools} does not tell" if tools else f"no tool of {arguments.vendor} is known that tells"
    return {"status": "SKIPPED", "used_mb": {}, "reason": f"{reason} the used memory"}


if __name__ == "__main__":
    sys.exit(run_program("device_memory", build_parser(), observe))
