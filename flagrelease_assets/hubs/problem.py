"""Why a look-up cannot be answered.

Belongs here: the one exception that look-ups raise, and its wording of broken documents.
Does not belong here: the causes themselves.
"""

from __future__ import annotations

from pydantic import ValidationError


class LookupProblem(Exception):
    """Why a look-up has to be deferred: `reason` in one line and the wait in seconds a hub asked for."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


def in_one_line(error: ValidationError) -> str:
    """Say where a document first breaks its expected form, without repeating its content."""
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
