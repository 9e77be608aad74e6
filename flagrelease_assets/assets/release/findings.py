"""Turning what went wrong into error records: a failed job, an unreachable worker, a user's mistake.

Belongs here: the host's side of error records.
Does not belong here: the judgement of logs and tracebacks (`container_scripts/error_layers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from flagrelease_assets.contracts.common import Component, ErrorRecord, JobResult, Layer
from flagrelease_assets.workers.job_models import ResultProblem
from flagrelease_assets.workers.jobs import JobOutcome

MAX_LOG_CHARACTERS = 2_000_000

# What a program can name itself, better than its log can: full disks, networks out of reach, wrong answers.
NAMED_PROBLEMS = frozenset({"disk", "network", "false_ready", "port_in_use", "timeout", "empty_or_garbled"})

RESULT_PROBLEMS: Mapping[ResultProblem, str] = {
    "missing": "left no result",
    "truncated": "left only a part of its result",
    "not_json": "left a result that is no JSON object",
    "wrong_run": "left the result of another run",
    "too_large": "left a result that is too large",
}


OUT_OF_TIME = ("deadline", "idle")
"""How the supervisor ends a job that takes too long, or does nothing for too long."""


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
    step: str,
    phase: str,
    outcome: JobOutcome,
    result: JobResult | None,
    wrong_shape: str | None,
    logs: Mapping[str, str],
) -> ErrorRecord:
    """Return the error record of a job that did not pass, from its exit, its document and its logs.

    ``wrong_shape`` says what is wrong with a document that the program did leave.
    """
    from container_scripts.error_layers import classify  # hundreds of patterns, compiled when first needed
    from container_scripts.error_records import RawFailure

    ended = outcome.exit
    unusable = _unusable(outcome, wrong_shape) if result is None else None
    problem = (result.problem or getattr(result, "category", None)) if result else None
    named = problem if problem in NAMED_PROBLEMS else None
    if result and result.status == "TIMEOUT":  # it saw its own deadline; the rest is its way of ending
        named = "timeout"
    if ended.reason in OUT_OF_TIME:  # what it said after our TERM is an echo of that, not a cause
        unusable, named = None, "timeout"
    record = classify(
        RawFailure(
            step=step,
            phase=phase,
            error=_said(result, unusable or ended.error) if ended.reason not in OUT_OF_TIME else ended.error,
            traceback=result.traceback if result and ended.reason not in OUT_OF_TIME else None,
            logs=tuple((name, text[-MAX_LOG_CHARACTERS:]) for name, text in logs.items()),
            exit_code=ended.code,
            signal=ended.signal or _signal_of_server(result),
            ended_by=ended.reason,
            category=f"result_{outcome.result_problem or 'wrong_shape'}" if unusable else named,
        )
    )
    return ErrorRecord.model_validate(record.to_dict())


def _signal_of_server(result: JobResult | None) -> int | None:
    """Return the signal that ended the server or engine that a program watched, if one did."""
    ending = (result.model_extra or {}).get("exit") if result else None
    signal = ending.get("signal") if isinstance(ending, dict) else None
    return signal if isinstance(signal, int) else None


def _said(result: JobResult | None, otherwise: str | None) -> str | None:
    """Return what a program says of its failure, or what is known without it."""
    return (result.error or result.reason) if result else otherwise


def _unusable(outcome: JobOutcome, wrong_shape: str | None) -> str | None:
    """Say what is wrong with the result of a program that ended as if all were well, if anything is."""
    if wrong_shape:
        problem = f"left a result of a wrong shape: {wrong_shape}"
    elif outcome.result_problem and outcome.exit.reason == "exited" and outcome.exit.code == 0:
        problem = RESULT_PROBLEMS[outcome.result_problem]
    else:
        return None
    return f"{outcome.program} {problem}; its log is kept, and running the step again repeats it"
