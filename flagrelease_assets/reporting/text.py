"""Values as text: durations, sizes, numbers and ages with honest units, and foreign text made harmless.

Belongs here: formatting of one value without knowing where it is shown.
Does not belong here: markup (Markdown, HTML and the terminal each escape for themselves).
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

ABSENT = "–"  # noqa: RUF001 (a dash for "no value" is what tables show)

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_LINE_BREAK = re.compile(r"\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def plain(text: str) -> str:
    """Return text that cannot act on whoever shows it.

    Terminal escape sequences, control characters and marks that reverse the reading direction are
    removed; every kind of line break becomes a newline.
    """
    text = _LINE_BREAK.sub("\n", _ESCAPE_SEQUENCE.sub("", text))
    return _LONE_SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))


def one_line(text: str) -> str:
    """Return harmless text on a single line, with runs of white space as one space."""
    return " ".join(plain(text).split())


def clip(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a text, and say how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} … ({len(text) - limit:,} more characters)"


def clip_start(text: str, limit: int) -> str:
    """Return the last ``limit`` characters of a text, where a log or traceback says most."""
    if len(text) <= limit:
        return text
    return f"({len(text) - limit:,} characters before) … {text[-limit:].lstrip()}"


def number(value: float | None) -> str:
    """Return a number with about three significant digits and grouped thousands."""
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    decimals = min(6, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{decimals}f}"


def milliseconds(value: float | None) -> str:
    """Return a latency given in milliseconds, in seconds once that reads better."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{number(value)} ms" if abs(value) < 10_000 else f"{number(value / 1000)} s"


def duration(seconds: float | None) -> str:
    """Return a duration given in seconds, in at most two units: `0.42 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds is None or not math.isfinite(seconds):
        return number(seconds)
    if abs(seconds) < 59.95:
        return f"{seconds:.2f} s" if abs(seconds) < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if abs(whole) < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def byte_size(count: int | None) -> str:
    """Return a number of bytes in binary units: `512 B`, `1.50 GiB`."""
    if count is None:
        return ABSENT
    if abs(count) < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if abs(size) < 1024 or unit == "TiB":
            break
    return f"{number(size)} {unit}"


def stack_words(stack: str) -> str:
    """Return the words for a stack: `full stack`, `base stack`, `no stack`."""
    return "no stack" if stack == "none" else f"{stack} stack"


def moment(when: datetime | None) -> str:
    """Return a point in time in UTC, to the minute."""
    return as_utc(when).strftime("%Y-%m-%d %H:%M UTC") if when else ABSENT


def age(when: datetime | None, now: datetime) -> str:
    """Return how long ago something was; a date after ``now`` is said to be one."""
    if when is None:
        return ABSENT
    seconds = (as_utc(now) - as_utc(when)).total_seconds()
    if seconds < -60:
        return "dated in the future"
    if seconds < 60:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    raise AssertionError("a minute or more has a unit")


def as_utc(when: datetime) -> datetime:
    """Return a point in time in UTC; one without a zone is taken to be UTC, as all stored ones are."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def value_text(value: Any) -> str:
    """Return any JSON value as short text: yes and no, comma lists, compact JSON for what is nested."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, int) else number(value)
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(value_text(item) for item in value) if value else "none"
    return json.dumps(value, ensure_ascii=False, default=str)
