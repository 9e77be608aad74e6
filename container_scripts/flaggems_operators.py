"""Tell which operators FlagGems registers here, and which of them the plugin leaves out by itself.

Belongs here: asking the two packages, in a process of its own, since registering changes torch.
Does not belong here: switching operators, or judging them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any, List

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts.document import Document, run_program


def registered_operators(flag_gems: Any) -> List[str]:
    """Return the distinct functions that FlagGems puts in the place of torch's; registers them."""
    flag_gems.enable()
    return sorted({str(name) for name in flag_gems.all_registered_ops()})


def left_out_by_plugin() -> List[str]:
    """Return the functions that the plugin's own file for this chip leaves out; [] if it keeps no list.

    vLLM loads the plugin first, as in an engine: asked before, the plugin takes itself for half loaded, does
    not know the chip, and answers with no list at all. Raises RuntimeError where vLLM runs without it.
    """
    try:
        platform = importlib.import_module("vllm.platforms").current_platform
        ask = importlib.import_module("vllm_fl.dispatch.config").get_flagos_blacklist
    except (ImportError, AttributeError) as error:
        print(f"[plugin] has no list of its own: {type(error).__name__}: {error}", file=sys.stderr)
        return []
    chip = getattr(platform, "vendor_name", None)
    if not chip:
        raise RuntimeError(
            "vLLM did not load the plugin's platform here: which operators it leaves out is unknown"
        )
    left_out = [str(name) for name in ask() or []]
    print(f"[plugin] leaves out on {chip}: {', '.join(left_out) or 'nothing'}", file=sys.stderr)
    return left_out


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document: every operator's name, and the plugin's list."""
    left_out = left_out_by_plugin()
    return {
        "status": "PASS",
        "registered": registered_operators(importlib.import_module("flag_gems")),
        "left_out_by_plugin": left_out,
    }


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return argparse.ArgumentParser(prog="flaggems_operators", description=__doc__)


if __name__ == "__main__":
    sys.exit(run_program("flaggems_operators", build_parser(), observe))
