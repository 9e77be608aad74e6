"""Turning what went wrong into error records: a failed job, an unreachable worker, a user's mistake.

Belongs here: the host's side of error records.
Does not belong here: the judgement of logs and tracebacks (`container_scripts/error_layers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from flagrelease_assets.contracts.common import Component, ErrorRecord, JobResult, Layer
from flagrelease_assets.workers.jobs import JobOutcome

MAX_LOG_CHARACTERS = 2_000_000


def finding(
    step: str,
    cause: str,
    *,
    category: str,
    layer: Layer = "X",
    component: Component = "user",
    phase: str | None = None,
    fatal: bool = False,
    retryable: bool = False,
) -> ErrorRecord:
    """Return an error record for something that needs no interpretation."""
    return ErrorRecord(
        step=step,
        phase=phase,
        layer=layer,
        component=component,
        category=category,
        cause=" ".join(cause.split()),
        fatal=fatal,
        retryable=retryable,
    )


def job_finding(
    step: str, phase: str, outcome: JobOutcome, result: JobResult | None, logs: Mapping[str, str]
) -> ErrorRecord:
    """Return the error record of a job that did not pass, from its exit, its document and its logs."""
    from container_scripts.error_layers import classify  # hundreds of patterns, compiled when first needed
    from container_scripts.error_records import RawFailure

    ended = outcome.exit
    silent = result is None and ended.reason == "exited" and ended.code == 0
    record = classify(
        RawFailure(
            step=step,
            phase=phase,
            error=result.error if result else ended.error,
            traceback=result.traceback if result else None,
            logs=tuple((name, text[-MAX_LOG_CHARACTERS:]) for name, text in logs.items()),
            exit_code=ended.code,
            signal=ended.signal,
            ended_by=ended.reason,
            category=f"result_{outcome.result_problem or 'missing'}" if silent else None,
        )
    )
    return ErrorRecord.model_validate(record.to_dict())
