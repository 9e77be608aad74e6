"""Where an engine keeps what it compiled: every stack has folders of its own.

vLLM finds compiled graphs again by the model, its own configuration and its own variables, not by those of
the plugin. A stack that differs in ``USE_FLAGGEMS`` or ``VLLM_FL_FLAGOS_BLACKLIST`` alone would run graphs
that another one compiled: on an H100 the full stack without its wrong operator loaded those compiled with it.

Belongs here: the variables that name those folders. Does not belong here: which stacks there are.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from typing import Dict, Mapping, Optional

CACHE_VARIABLES = ("FLAGGEMS_CACHE_DIR", "VLLM_CACHE_ROOT")
"""Folders of FlagGems (generated kernels, tuned configurations) and vLLM (graphs, model information)."""

CACHES = "caches"
"""The folder of a work root that holds them, one folder for each run."""


def caches_in(folder: str) -> Dict[str, str]:
    """Return the variables that put an engine's caches below a folder."""
    return {name: posixpath.join(folder, name.lower()) for name in CACHE_VARIABLES}


def caches_of_stack(
    work_root: str, run_id: str, flags: Mapping[str, Optional[str]], named: Mapping[str, str]
) -> Dict[str, str]:
    """Return the cache variables of a stack in one release.

    Args:
        work_root: the worker's folder for everything of ours.
        run_id: the release's run; what an earlier one compiled, with other packages, is not used.
        flags: the stack's variables; None stands for one that is absent.
        named: variables of the worker; a cache that they put elsewhere stays below that place.
    """
    stack = hashlib.sha256(json.dumps(sorted(flags.items())).encode()).hexdigest()[:12]
    own = caches_in(posixpath.join(work_root, CACHES, run_id, stack))
    elsewhere = {name: posixpath.join(named[name], run_id, stack) for name in own if named.get(name)}
    return {**own, **elsewhere}
