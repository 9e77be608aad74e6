"""Which stack was really active in a run: what was asked of it, and what can be observed.

Belongs here: the environment that selects a stack, and positive evidence of what it did.
Does not belong here: concluding from it whether a full run counts.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, Iterable, List, Optional

from container_scripts import distributions, server_log
from container_scripts.platform_probe import probe_platform

OPERATOR_LIST_VARIABLE = "FLAGGEMS_ENABLE_OPLIST_PATH"
"""FlagGems writes the operators that ran to this file (its default is one file in /tmp for everybody)."""

_SELECTING_PREFIXES = ("VLLM_", "USE_FLAGGEMS", "FLAGCX_", "FLAGGEMS_", "TRITON_")
_SELECTING_SUFFIXES = ("_VISIBLE_DEVICES",)
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_FLAGCX_LIBRARY = "libflagcx"
_VERSIONED = {
    "vllm": "vllm",
    "torch": "torch",
    "triton": "triton",
    "flagtree": "flagtree",
    "flag_gems": "flag_gems",
    "flagcx": "flagcx",
    "vllm_fl": "vllm_fl",
    "transformers": "transformers",
}


def stack_requested(stack: str) -> Dict[str, Any]:
    """Return the label and the environment variables that select a stack, secrets left out."""
    environment = {
        name: value
        for name, value in sorted(os.environ.items())
        if (name.startswith(_SELECTING_PREFIXES) or name.endswith(_SELECTING_SUFFIXES))
        and not any(word in name for word in _SECRET_WORDS)
    }
    return {"stack": stack, "env": environment}


def prepare_operator_list(beside: Optional[str]) -> str:
    """Choose the file for the list of operators, delete what is left there, and tell the children.

    A file named by the environment is used; otherwise one ``beside`` the given file, or in the
    current folder. Without the deletion a list of an earlier run would pass for evidence.
    """
    path = os.environ.get(OPERATOR_LIST_VARIABLE) or os.path.abspath(f"{beside or 'vllm'}.operators.txt")
    if os.path.exists(path):
        os.remove(path)
    os.environ[OPERATOR_LIST_VARIABLE] = path
    return path


def read_operator_list(path: str) -> List[str]:
    """Return the distinct operators that FlagGems recorded; a missing or empty file is an empty list."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            lines = handle.read().splitlines()
    except OSError:
        return []
    named = (line.split("] ", 1)[-1].split(":", 1)[0].strip() for line in lines)
    return list(dict.fromkeys(name for name in named if name.startswith("flag_gems.")))


def maps_library(pids: Iterable[int], library: str = _FLAGCX_LIBRARY) -> bool:
    """Say whether any of the processes has the library mapped into its memory."""
    return any(library in _read(f"/proc/{pid}/maps") for pid in pids)


def observe_stack(
    operator_list: str,
    pids: Iterable[int],
    log: str = "",
    plugins: Iterable[str] = (),
    platform: Optional[str] = None,
) -> Dict[str, Any]:
    """Return the evidence of the stack that ran; call it while the processes ``pids`` still live.

    ``log`` is the engine's log, ``plugins`` and ``platform`` are what is known without it. Where plugins
    were asked for and the log of living processes says nothing of them, a fresh interpreter with the same
    environment is asked (``plugins_seen_by`` is then ``probe``).
    ``flaggems_record`` is FlagGems' own record of operators that ran: its absence proves nothing of a
    single operator, its presence proves that FlagGems was active.
    """
    pids = list(pids)
    operators = read_operator_list(operator_list)
    loaded = list(dict.fromkeys([*plugins, *server_log.plugins_loaded(log)]))
    failed = server_log.plugins_failed(log)
    platform = platform or _platform_of(log)
    seen_by = "engine"
    if os.environ.get("VLLM_PLUGINS") and pids and log and not (loaded or failed):
        probe = probe_platform()
        loaded, failed, seen_by = probe.plugins_loaded, probe.plugins_failed, "probe"
        platform = probe.platform or platform
    return {
        "vllm_platform": platform,
        "plugins_loaded": loaded,
        "plugins_failed": failed,
        "plugins_seen_by": seen_by,
        "flaggems_ops": len(operators),
        "flaggems_record": operators,
        "dispatched_operators": server_log.dispatched_operators(log),
        "flagcx_loaded": maps_library(pids),
        "triton_provider": distributions.provider_of("triton") or "none",
    }


def versions() -> Dict[str, Optional[str]]:
    """Return the versions of what makes a stack, None for what is not installed."""
    found: Dict[str, Optional[str]] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for key, distribution in _VERSIONED.items():
        owner = distributions.provider_of(key) if key.startswith(("flag", "vllm_fl")) else distribution
        found[key] = distributions.installed_version(owner or distribution)
    return found


def _platform_of(log: str) -> Optional[str]:
    """Return the platform that a log names: a plugin's, or the one that vLLM detected."""
    plugin = server_log.activated_platform(log)
    return f"plugin:{plugin}" if plugin else server_log.detected_platform(log)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""
