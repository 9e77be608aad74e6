"""Free space of the paths that a program is going to write to.

Belongs here: measuring. Does not belong here: deciding how much is enough.
"""

from __future__ import annotations

import os
import shutil
from typing import Iterable, List

from container_scripts.document import Document


def existing_parent(path: str) -> str:
    """Return ``path``, or the nearest folder above it that exists."""
    path = os.path.abspath(os.path.expanduser(path))
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def disk_facts(paths: Iterable[str]) -> List[Document]:
    """Return free and total space (GB, powers of ten) of ``paths``, or of what exists above them."""
    found = []
    for path in dict.fromkeys(paths):
        usage = shutil.disk_usage(existing_parent(path))
        free_gb, total_gb = round(usage.free / 1e9, 2), round(usage.total / 1e9, 2)
        found.append({"path": path, "free_gb": free_gb, "total_gb": total_gb})
    return found
