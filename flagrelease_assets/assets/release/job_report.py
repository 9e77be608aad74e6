"""A finished job of a step, as the step looks at it.

Belongs here: that pair of document and ending, reading the document.
Does not belong here: running a job (`scope.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from flagrelease_assets.contracts.common import ErrorRecord, JobResult
from flagrelease_assets.workers.jobs import JobOutcome

R = TypeVar("R", bound=JobResult)


@dataclass(frozen=True)
class JobReport(Generic[R]):
    """A finished job: its document (if it left a valid one), how it ended, and what went wrong."""

    outcome: JobOutcome
    document: R | None
    error: ErrorRecord | None

    @property
    def passed(self) -> bool:
        """Whether the program ended well, left nothing behind, and its document says so."""
        return self.error is None


def parse(outcome: JobOutcome, kind: type[R]) -> tuple[R | None, str | None]:
    """Return the job's document, or what is wrong with the one that it left."""
    if outcome.result is None:
        return None, None
    try:
        return kind.model_validate(outcome.result), None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        return None, f"{key}: {first['msg']}"
