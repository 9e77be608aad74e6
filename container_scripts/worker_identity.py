"""Say in a moment whether this worker is still the one that a stored result was measured on.

Belongs here: digests of the installed distributions and of a model's files, names of vLLM plugins.
Does not belong here: anything that imports a heavy package or takes longer than a listing.
"""

from __future__ import annotations

import argparse
import os
import sys

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.distributions import entry_point_names, installed_digest
from container_scripts.document import Document, run_program
from container_scripts.model_files import folder_digest, list_files
from container_scripts.processes import boot_id

PLATFORM_GROUP = "vllm.platform_plugins"


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", metavar="PATH", help="also describe this model folder")
    parser.add_argument("--path", action="append", default=[], help="also describe this file (repeatable)")
    return parser


def describe_model(path: str) -> Document:
    """Return existence, digest, number and bytes of the files of a model's folder."""
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(path):
        return {"path": path, "exists": False, "digest": None, "files": 0, "bytes": 0}
    files = list_files(path)
    total = sum(size for _, size in files)
    return {"path": path, "exists": True, "digest": folder_digest(path), "files": len(files), "bytes": total}


def describe_path(path: str) -> Document:
    """Return whether there is something at ``path``, its size in bytes, and when it was last modified."""
    try:
        facts = os.stat(path)
    except OSError:
        return {"path": path, "exists": False, "bytes": 0, "mtime": None}
    return {"path": path, "exists": True, "bytes": facts.st_size, "mtime": facts.st_mtime}


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body."""
    digest, count = installed_digest()
    return {
        "status": "PASS",
        "packages_digest": digest,
        "package_count": count,
        "python_executable": sys.executable,
        "boot_id": boot_id() or None,
        "platform_plugins": entry_point_names(PLATFORM_GROUP),
        "model": describe_model(arguments.model) if arguments.model else None,
        "paths": [describe_path(path) for path in arguments.path],
    }


if __name__ == "__main__":
    sys.exit(run_program("worker_identity", build_parser(), observe))
