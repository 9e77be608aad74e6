"""Fetch one revision of a model from a hub into a folder, with the worker's own hub client.

Belongs here: the one call into the hub's library, run as a process of its own so that it can be timed out.
Does not belong here: checking the files (model_files), choosing the folder (prepare_model).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import Optional

if not __package__:  # the hub's library must find its own modules, not those of this folder
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

HUGGINGFACE, MODELSCOPE = "huggingface", "modelscope"
DUPLICATE_WEIGHTS = ["original/*"]
MISSING_CLIENT, TOO_SMALL = 3, 4


def download(source: str, model: str, revision: Optional[str], target: str, min_free_bytes: int) -> int:
    """Download ``model`` into ``target`` and return an exit code; a partial download is resumed.

    Returns MISSING_CLIENT if the hub's library is not installed and TOO_SMALL if the files would leave
    less than ``min_free_bytes`` free. The hub's own exceptions pass through.
    """
    try:
        if source == MODELSCOPE:
            from modelscope import snapshot_download as from_modelscope  # type: ignore[import-not-found,unused-ignore]
        else:
            from huggingface_hub import (  # type: ignore[import-not-found,unused-ignore]
                HfApi,
                snapshot_download,
            )
    except ImportError as error:
        print(f"the client of {source} is not installed in this worker: {error}")
        return MISSING_CLIENT
    if source == MODELSCOPE:
        from_modelscope(model, revision=revision, local_dir=target)
        return 0
    siblings = HfApi().model_info(model, revision=revision, files_metadata=True).siblings or []
    needed = sum(sibling.size or 0 for sibling in siblings if not sibling.rfilename.startswith("original/"))
    free = shutil.disk_usage(target).free + _size_of(target)
    if free - needed < min_free_bytes:
        print(f"{model} needs {needed / 1e9:.1f} GB in {target}, where {free / 1e9:.1f} GB are free")
        return TOO_SMALL
    snapshot_download(model, revision=revision, local_dir=target, ignore_patterns=DUPLICATE_WEIGHTS)
    return 0


def _size_of(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(base, name)) for base, _, names in os.walk(folder) for name in names
    )


def main() -> int:
    """Run one download."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, choices=(HUGGINGFACE, MODELSCOPE))
    parser.add_argument("--model", required=True)
    parser.add_argument("--revision")
    parser.add_argument("--target", required=True)
    parser.add_argument("--min-free-gb", type=float, default=0.0)
    arguments = parser.parse_args()
    min_free_bytes = int(arguments.min_free_gb * 1e9)
    return download(arguments.source, arguments.model, arguments.revision, arguments.target, min_free_bytes)


if __name__ == "__main__":
    sys.exit(main())
