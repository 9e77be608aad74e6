"""Whether two error texts tell of the same failure, up to what differs from run to run.

Belongs here: what is incidental (pids, ports, addresses, times, ranks, paths, ids, counters) and what
makes an error itself (type, message, root frame).
Does not belong here: what the failure means (error_layers), what follows from it (diff_analysis).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from container_scripts.code_owners import relative_path
from container_scripts.error_layers import classify_text
from container_scripts.error_records import Classification
from container_scripts.log_reading import strip_prefixes

SHORTEST_PREFIX = 40

_INCIDENTAL = (
    (
        re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),
        "<uuid>",
    ),
    (re.compile(r"\b(?:\d{4}[-/])?\d{2}[-/]\d{2}[ T]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?"), "<time>"),
    (re.compile(r"\b\d{2}:\d{2}:\d{2}(?:\.\d+)?\b"), "<time>"),
    (re.compile(r"\b(?:\w+://)?(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\blocalhost:\d+"), "<address>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\b(?:chatcmpl|cmpl|req|request)-[\w\-]+"), "<id>"),
    (re.compile(r"\b[0-9a-f]{16,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])(?:\.{0,3}|~)?(?:/[\w.+\-@~]+){2,}/?"), "<path>"),
    (
        re.compile(
            r"\b(cuda|npu|musa|hip|xpu|gpu|rank|worker|tp|dp|pp|ep|node)([:=_ \-]?)\d+", re.IGNORECASE
        ),
        r"\1\2<n>",
    ),
    (re.compile(r"\b(pid|port|tid|seed|line)(\W{0,3})\d+", re.IGNORECASE), r"\1\2<n>"),
)
_CODE = re.compile(
    r"\b(err(?:or|no)?(?: code)?(?: is)?|returns?|status|code|result|E[A-Z])(\W{0,3})(\d+)", re.IGNORECASE
)
_KEPT = "\ue000"  # stands around a number that is an error code while the others are replaced
_NUMBER = re.compile(rf"(?<![\w{_KEPT}])-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?%?(?![\w{_KEPT}])", re.IGNORECASE)


@dataclass(frozen=True)
class ErrorIdentity:
    """What stays of an error when the incidental is taken away; "" where the text does not say it."""

    category: str
    type: str
    message: str
    frame: str


def normalise(text: str) -> str:
    """Return ``text`` in one line without what differs from run to run; error codes stay."""
    line = " ".join(text.replace(_KEPT, "").split())
    for pattern, replacement in _INCIDENTAL:
        line = pattern.sub(replacement, line)
    line = _CODE.sub(rf"\1\2{_KEPT}\3{_KEPT}", line)
    line = _NUMBER.sub("<n>", line)
    return line.replace(_KEPT, "").strip().lower()


def identify(text: str) -> ErrorIdentity:
    """Return the identity of the root cause that ``text`` tells of."""
    return identity_of(classify_text(text))


def identity_of(found: Classification) -> ErrorIdentity:
    """Return the identity of a failure that was classified already."""
    exception = found.exception
    if exception is None:
        said = found.matched or strip_prefixes("", 0, found.cause).text
        return ErrorIdentity(found.category, "", normalise(said), "")
    frame = relative_path(exception.frames[-1].path) if exception.frames else ""
    message = found.matched or exception.message.split("\n")[0]
    return ErrorIdentity(found.category, exception.name, normalise(message), frame)


def same_error(a: str, b: str) -> bool:
    """Return whether two error texts tell of the same failure; symmetric and reflexive."""
    return same_identity(identify(a), identify(b))


def same_identity(a: ErrorIdentity, b: ErrorIdentity) -> bool:
    """Return whether two identities agree in all that both of them say.

    A message that was cut may be the beginning of the other.
    """
    return (
        a.category == b.category
        and _agree(a.type, b.type)
        and _agree(a.frame, b.frame)
        and _same_message(a.message, b.message)
    )


def _agree(a: str, b: str) -> bool:
    return a == b or not a or not b


def _same_message(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    return a == b or (len(short) >= SHORTEST_PREFIX and long.startswith(short))
