"""A finished job of a step, as the step looks at it.

Belongs here: that pair of document and ending. Does not belong here: running a job (`scope.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

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
