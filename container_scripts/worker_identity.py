"""Say in a moment whether this worker is still the one that a stored result was measured on.

Belongs here: digests of the installed distributions and of a model's files.
Does not belong here: anything that imports a heavy package or takes longer than a listing.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.distributions import installed_digest
from container_scripts.document import Document, run_program
from container_scripts.model_files import folder_digest, list_files

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", metavar="PATH", help="also describe this model folder")
    return parser


def describe_model(path: str) -> Document:
    """Return existence, digest, number and bytes of the files of a model's folder."""
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(path):
        return {"path": path, "exists": False, "digest": None, "files": 0, "bytes": 0}
    files = list_files(path)
    total = sum(size for _, size in files)
    return {"path": path, "exists": True, "digest": folder_digest(path), "files": len(files), "bytes": total}


def _boot_id() -> Optional[str]:
    try:
        with open(BOOT_ID_FILE, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return None


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body."""
    digest, count = installed_digest()
    return {
        "status": "PASS",
        "packages_digest": digest,
        "package_count": count,
        "python_executable": sys.executable,
        "boot_id": _boot_id(),
        "model": describe_model(arguments.model) if arguments.model else None,
    }


if __name__ == "__main__":
    sys.exit(run_program("worker_identity", build_parser(), observe))
