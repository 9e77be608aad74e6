"""What the log of a vLLM server says: plugins, configuration, first traceback.

Belongs here: pure reading of log text.
Does not belong here: blaming a layer or component, or reading files.
"""

from __future__ import annotations

import re
from typing import List, Optional

from container_scripts.log_reading import strip_prefixes

TAIL_LINES = 80
SAID_READY = "Application startup complete"
TRACEBACK_LINES = 200
LEADING_LINES = 20
"""Lines before a traceback that say what was tried before it: 14 of vllm-plugin-FL when every implementation
of an operator fails."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LOADED = re.compile(r"Loading plugin ([\w.-]+)|Platform plugin ([\w.-]+) is activated")
_ACTIVATED = re.compile(r"Platform plugin ([\w.-]+) is activated")
_DETECTED = re.compile(r"Automatically detected platform ([\w.-]+?)\.?(?:\s|$)|device_config=(\w+)")
_FAILED = re.compile(r"Failed to load plugin ([\w.-]+)")
_DISPATCH = re.compile(r"Op '([\w.-]+)' using '([\w.-]+)'")
_CONFIGURATION = re.compile(
    r"non-default args:|Initializing a V\d LLM engine|Using max model len|Resolved architecture|"
    r"Automatically detected platform|Platform plugin \S+ is activated|"
    r"Chunked prefill is enabled|Asynchronous scheduling|attention backend|"
    r"KV cache size|Maximum concurrency for|Cudagraph is disabled|Enforce eager"
)
_EXCEPTION = re.compile(r"(?:^|(?<=[\]) ]))[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b(?:: .*)?$")
_INTERRUPT = re.compile(r"[\w.]*(?:Interrupt|Exit)\b")
_COUNTS = re.compile(r"\d+ validation errors? for \w+$")
_COUNTED = re.compile(r"\bValue error, (?P<said>.*?)(?: \[type=.*)?$")
_TRACEBACK = "Traceback (most recent call last)"


def plain(text: str) -> str:
    """Return the text without terminal colours."""
    return _ANSI.sub("", text)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log."""
    return "\n".join(plain(text).splitlines()[-lines:])


def plugins_loaded(text: str) -> List[str]:
    """Return the plugins that vLLM says it loaded and did not report as failed, in order of appearance."""
    failed = set(_FAILED.findall(text))
    named = [first or second for first, second in _LOADED.findall(text)]
    return [name for name in dict.fromkeys(named) if name not in failed]


def plugins_failed(text: str) -> List[str]:
    """Return the plugins that raised while loading, which vLLM logs and then does without."""
    return list(dict.fromkeys(_FAILED.findall(text)))


def activated_platform(text: str) -> Optional[str]:
    """Return the platform plugin that was activated, or None."""
    found = _ACTIVATED.search(text)
    return found.group(1) if found else None


def detected_platform(text: str) -> Optional[str]:
    """Return the built-in platform that vLLM detected, as far as its log says it, or None."""
    found = _DETECTED.search(text)
    return (found.group(1) or found.group(2)) if found else None


def dispatched_operators(text: str) -> List[str]:
    """Return ``operator=implementation`` for each choice that the plugin's dispatcher reports."""
    return list(dict.fromkeys(f"{op}={choice}" for op, choice in _DISPATCH.findall(text)))


def configuration_lines(text: str) -> List[str]:
    """Return the lines in which the engine reports its effective configuration, each once."""
    return list(
        dict.fromkeys(line.strip() for line in plain(text).splitlines() if _CONFIGURATION.search(line))
    )


def first_traceback(text: str) -> str:
    """Return the log from the traceback on where the root cause stands; "" if there is none.

    It is the first of the engine's or a worker's own, else the first of all: a server also logs what goes
    wrong in single requests before its engine dies.
    """
    lines = plain(text).splitlines()
    start = _root_traceback(lines)
    return "" if start is None else "\n".join(lines[start : start + TRACEBACK_LINES])


def failure_excerpt(text: str) -> str:
    """Return the first traceback with the lines that lead to it; "" if there is none."""
    lines = plain(text).splitlines()
    start = _root_traceback(lines)
    if start is None:
        return ""
    return "\n".join(lines[max(0, start - LEADING_LINES) : start + TRACEBACK_LINES])


def root_error_line(text: str) -> str:
    """Return the exception that ends the first traceback, else the last line that names an error."""
    lines = first_traceback(text).splitlines()
    for index, line in enumerate(lines):
        found = _EXCEPTION.search(line)
        if found:
            return found.group(0).strip() + _first_of_counted(found.group(0), lines[index + 1 : index + 4])
    return last_error_line(text)


def last_error_line(text: str) -> str:
    """Return the last line that names an exception or an error, or the last line, or ""."""
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"\b\w*(?:Error|Exception)\b: ?\S|\bERROR\b", line)]
    return (named or lines or [""])[-1]


def _root_traceback(lines: List[str]) -> Optional[int]:
    """Return the index of the line that starts the traceback of the root cause, None without any.

    What ends with an interrupt is a process that was told to end, not a cause.
    """
    starts = [index for index, line in enumerate(lines) if _TRACEBACK in line]
    own = (index for index in starts if strip_prefixes("", index, lines[index]).role == "worker")
    return next((index for index in own if not _was_interrupted(lines, index)), next(iter(starts), None))


def _was_interrupted(lines: List[str], start: int) -> bool:
    for line in lines[start : start + TRACEBACK_LINES]:
        found = _EXCEPTION.search(line)
        if found:
            return bool(_INTERRUPT.match(found.group(0)))
    return False


def _first_of_counted(said: str, following: List[str]) -> str:
    """Return the first error where an exception's own line only counts them, as pydantic's does, else ""."""
    if not _COUNTS.search(said):
        return ""
    return next((f": {found['said'][:300]}" for found in map(_COUNTED.search, following) if found), "")
