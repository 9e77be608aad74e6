"""The digest of this folder: which code, exactly, observed a worker.

Belongs here: which files are the scripts, and their digest, the same on the host and in a worker.
Does not belong here: how the files get into a worker.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Dict

_SUFFIXES = (".py", ".json")


def script_files(root: str) -> Dict[str, bytes]:
    """Return the content of every script and data file directly in the folder ``root``, by name, sorted."""
    files = {}
    for name in sorted(os.listdir(root)):
        if name.endswith(_SUFFIXES):
            with open(os.path.join(root, name), "rb") as handle:
                files[name] = handle.read()
    return files


def scripts_digest(root: str) -> str:
    """Return the SHA-256 (hexadecimal) over names and contents of the scripts in the folder ``root``."""
    digest = hashlib.sha256()
    for name, content in script_files(root).items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(scripts_digest(os.path.dirname(os.path.abspath(__file__))))
