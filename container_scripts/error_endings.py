"""What the end of a process says: signal, exit code, deadline, or a category that the program named.

Belongs here: completing a classification by how the program ended.
Does not belong here: what its logs say (error_layers).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from container_scripts import error_vocabulary as vocabulary
from container_scripts.error_records import Classification, Evidence, RawFailure

CAUSE_LENGTH = 300
RETRYABLE = frozenset({"network", "timeout", "port_in_use", "harness", "collective_hang", "result_missing"})

_KNOWN_CATEGORIES = {
    "port_in_use": ("X", vocabulary.UNKNOWN),
    "result_missing": ("X", vocabulary.UNKNOWN),
    "timeout": ("X", vocabulary.UNKNOWN),
    "cancelled": ("X", vocabulary.UNKNOWN),
    "harness": ("X", vocabulary.UNKNOWN),
    "disk": ("X", vocabulary.UNKNOWN),
    "network": ("X", vocabulary.NETWORK),
    "false_ready": ("3", vocabulary.UNKNOWN),
    "empty_or_garbled": ("3", vocabulary.UNKNOWN),
    "numerical": ("4", vocabulary.UNKNOWN),
}
_ENDINGS = {
    "deadline": ("timeout", "the absolute deadline passed"),
    "idle": ("timeout", "no activity until the idle deadline"),
    "cancelled": ("cancelled", "the job was cancelled"),
    "lost": ("harness", "the job was lost"),
    "spawn_failed": ("harness", "the program could not be started"),
}
_FATAL_SIGNALS = {
    4: ("segfault", "the process ended with an illegal instruction (signal 4)"),
    6: ("segfault", "the process aborted (signal 6)"),
    7: ("segfault", "the process ended with a bus error (signal 7)"),
    9: ("killed", "the process was killed (signal 9), often for want of host memory"),
    11: ("segfault", "the process ended with a segmentation fault (signal 11)"),
}


def named_by_program(found: Classification, failure: RawFailure) -> Classification:
    """Return ``found`` under the category that the program itself could name.

    A server that only seemed ready says nothing of the guilty component; its log may.
    """
    category = failure.category or vocabulary.UNKNOWN
    layer, component = _KNOWN_CATEGORIES.get(category, ("X", vocabulary.UNKNOWN))
    if category == "false_ready" and found.component != vocabulary.UNKNOWN:
        layer, component = found.layer, found.component
    return replace(
        found,
        layer=layer,
        component=component,
        category=category,
        cause=one_line(failure.error or category),
        fatal=False,
        retryable=category in RETRYABLE,
    )


def with_ending(found: Classification, failure: RawFailure) -> Classification:
    """Return ``found`` completed by how the process ended: its signal, exit code or deadline."""
    signal = failure.signal or _signal_of(failure.exit_code)
    proven = found.component != vocabulary.UNKNOWN or found.category in ("collective_hang", "device_fault")
    ending = Evidence("exit", 0, f"code {failure.exit_code}, signal {signal}, ended by {failure.ended_by}")
    if failure.ended_by in _ENDINGS:
        category, cause = _ENDINGS[failure.ended_by]
        if proven:
            return replace(found, cause=one_line(f"{found.cause} (then {cause})"))
        return replace(
            found,
            layer="X",
            component=vocabulary.UNKNOWN,
            category=category,
            cause=cause,
            fatal=False,
            retryable=category in RETRYABLE,
            evidence=(*found.evidence, ending),
        )
    if signal not in _FATAL_SIGNALS:
        return found
    if proven:
        return replace(found, fatal=True, evidence=(*found.evidence, ending))
    category, cause = _FATAL_SIGNALS[signal]
    evidence = (*found.evidence, ending)
    return replace(found, layer="2", category=category, cause=cause, fatal=True, evidence=evidence)


def _signal_of(code: Optional[int]) -> Optional[int]:
    """Return the signal that an exit code stands for (negative, or 128 + signal as a shell reports it)."""
    if code is None:
        return None
    if code < 0:
        return -code
    return code - 128 if 128 < code < 160 else None


def one_line(text: str) -> str:
    """Return ``text`` in one line of bounded length."""
    return " ".join(text.split())[:CAUSE_LENGTH]
