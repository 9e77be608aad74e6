"""The configuration that a vLLM engine reports as the one in effect, and how two of them differ.

Belongs here: pure reading of log text of vLLM 0.9 to 0.32, and the comparison.
Does not belong here: the lines themselves (server_log), concluding from a difference.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Dict, List, Mapping, Optional

from container_scripts import server_log

KV_CACHE_TOLERANCE = 0.05
"""Share by which KV cache sizes may differ: engines size it by the memory that is left. Five starts with
vLLM 0.24 on an H200, with two stacks, differed by 0.1 %."""
OF_ONE_START = frozenset({"model_tag", "model", "host", "port", "served_model_name"})
"""Arguments that name this start of the server and do not change what it does."""

_VERSION = re.compile(
    r"LLM engine \(v([^)\s]+)\)|API server version (\S+)|\bversion (\d+\.\d[\w.+]*)", re.IGNORECASE
)
_ARGUMENTS = re.compile(r"non-default args: (\{.*\})")
_OBJECT = re.compile(r"<[^<>]*>")
_DTYPE = re.compile(r"\bdtype=(?:torch\.)?(\w+)")
_CONTEXT = re.compile(r"\bmax_seq_len=(\d+)|Using max model len ([\d,]+)")
_DISPATCHED_ATTENTION = re.compile(r"Op 'attention_backend' using '([\w.-]+)'")
_ATTENTION = re.compile(
    r"Using (?!.*\bMoE\b)(?:AttentionBackendEnum\.)?([\w.]+(?: [\w.]+){0,3}?) (?:attention )?backend"
    r"(?: on V1 engine| out of potential| \(selected via|\.\s*$|\s*$)",
    re.MULTILINE,
)
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_CONCURRENCY = re.compile(r"Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
_EAGER = re.compile(r"\benforce_eager=(True|False)")
_NO_GRAPHS = re.compile(r"'cudagraph_mode': <CUDAGraphMode\.NONE|Cudagraph is disabled")
_PREFIX_CACHING = re.compile(r"\benable_prefix_caching=(True|False)")


def effective_config(log: str) -> Dict[str, Any]:
    """Return what the engine says that it runs with; what its log does not say is None.

    ``execution`` is ``eager``, ``compiled`` (without graphs) or ``graphs``; ``kv_cache_tokens`` is the
    size of the first engine's KV cache.
    """
    text = server_log.plain(log)
    return {
        "version": _first(_VERSION, text),
        "arguments": _arguments(text),
        "dtype": _first(_DTYPE, text),
        "attention_backend": _first(_DISPATCHED_ATTENTION, text) or _first(_ATTENTION, text),
        "max_model_len": _whole(_first(_CONTEXT, text)),
        "kv_cache_tokens": _kv_cache_tokens(text),
        "execution": _execution(text),
        "prefix_caching": _truth(_first(_PREFIX_CACHING, text)),
    }


def configuration_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> List[str]:
    """Return one line for each thing in which two effective configurations differ.

    What belongs to one start (model folder, address, served name) is left out, KV cache sizes may
    differ by 5 %, and what only one of the two reports is a difference too.
    """
    differences = []
    for key in sorted({*a, *b} - {"arguments"}):
        ours, theirs = a.get(key), b.get(key)
        if ours != theirs and not (key == "kv_cache_tokens" and _close(ours, theirs)):
            differences.append(f"{key}: {_said(ours)} against {_said(theirs)}")
    ours, theirs = a.get("arguments"), b.get("arguments")
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return differences + ([] if ours == theirs else ["arguments: not reported by both"])
    for name in sorted({*ours, *theirs} - OF_ONE_START):
        if ours.get(name) != theirs.get(name):
            differences.append(f"{name}: {_said(ours.get(name))} against {_said(theirs.get(name))}")
    return differences


def _first(pattern: re.Pattern[str], text: str) -> Optional[str]:
    found = pattern.search(text)
    return next((group for group in found.groups() if group is not None), None) if found else None


def _arguments(text: str) -> Optional[Dict[str, Any]]:
    """Return the arguments that differ from vLLM's defaults, objects among them as text."""
    written = _first(_ARGUMENTS, text)
    if written is None:
        return None
    try:
        arguments = ast.literal_eval(_OBJECT.sub(lambda found: repr(found.group()), written))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return {str(name): value for name, value in arguments.items()} if isinstance(arguments, dict) else None


def _kv_cache_tokens(text: str) -> Optional[int]:
    """Return the size in tokens; the engine of vLLM 0.9 says it as requests of full length."""
    size = _whole(_first(_KV_TOKENS, text))
    concurrency = _CONCURRENCY.search(text)
    if size is not None or concurrency is None:
        return size
    length, share = _whole(concurrency.group(1)), concurrency.group(2).strip(".")
    return round(length * float(share)) if length is not None and share.count(".") < 2 and share else None


def _execution(text: str) -> Optional[str]:
    eager = _truth(_first(_EAGER, text))
    if eager is None:
        return None
    if eager:
        return "eager"
    return "compiled" if _NO_GRAPHS.search(text) else "graphs"


def _whole(text: Optional[str]) -> Optional[int]:
    digits = (text or "").replace(",", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _truth(text: Optional[str]) -> Optional[bool]:
    return None if text is None else text == "True"


def _close(a: Any, b: Any) -> bool:
    return isinstance(a, int) and isinstance(b, int) and abs(a - b) <= KV_CACHE_TOLERANCE * max(a, b)


def _said(value: Any) -> str:
    return "not reported" if value is None else str(value)
