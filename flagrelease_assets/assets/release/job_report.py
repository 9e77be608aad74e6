"""A finished job of a step, as the step looks at it.

Belongs here: that pair of document and ending, judging it.
Does not belong here: running a job (`scope.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from flagrelease_assets.assets.release.findings import job_finding
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


def report_of(
    step: str, phase: str, outcome: JobOutcome, kind: type[R], texts: Mapping[str, str]
) -> JobReport[R]:
    """Return the report of a job that has ended; ``texts`` are its logs by name."""
    document, wrong_shape = _parse(outcome, kind)
    ended_well = outcome.completed and outcome.exit.code == 0 and not outcome.exit.survivors
    passed = ended_well and document is not None and document.status in ("PASS", "PARTIAL", "SKIPPED")
    error = None if passed else job_finding(step, phase, outcome, document, wrong_shape, texts)
    return JobReport(outcome, document, error)


def _parse(outcome: JobOutcome, kind: type[R]) -> tuple[R | None, str | None]:
    """Return the job's document, or what is wrong with the one that it left."""
    if outcome.result is None:
        return None, None
    try:
        return kind.model_validate(outcome.result), None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        return None, f"{key}: {first['msg']}"
