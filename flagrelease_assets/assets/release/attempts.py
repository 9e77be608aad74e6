"""When a job is tried again: only where the harness failed, never to turn a verdict.

Belongs here: that judgement, and how attempts are called. Does not belong here: how often (the deployment's
`retries`), running a job.
"""

from __future__ import annotations

from flagrelease_assets.contracts.common import ErrorRecord


def is_worth_another_attempt(error: ErrorRecord | None) -> bool:
    """Whether a job failed in what surrounds the measurement, and may not fail so a moment later."""
    return error is not None and error.layer == "X" and error.retryable and not error.fatal


def attempt_name(name: str, attempt: int) -> str:
    """Return the name of one attempt at a job: the first is the job itself."""
    return name if attempt == 1 else f"{name}-attempt-{attempt}"
