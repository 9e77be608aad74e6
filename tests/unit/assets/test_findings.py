"""Findings of jobs: what the supervisor did to a job comes before what the job said afterwards."""

from __future__ import annotations

import pytest

from flagrelease_assets.assets.release.findings import job_finding
from flagrelease_assets.contracts.common import JobResult
from flagrelease_assets.workers.job_models import ExitRecord, JobOutcome

ECHO_OF_OUR_TERM = JobResult(
    status="FAIL",
    error="RuntimeError: cancelled",
    traceback='Traceback (most recent call last):\n  File "vllm/v1/engine/core.py", line 1, in step\n'
    "RuntimeError: cancelled",
)


def outcome(reason: str, code: int | None, error: str | None = None) -> JobOutcome:
    return JobOutcome(
        name="offline",
        program="run_offline_inference",
        job_dir="/work/runs/r/s/offline",
        run_token="t",
        exit=ExitRecord.model_validate(
            {
                "reason": reason,
                "code": code,
                "signal": None if code is not None else 15,
                "duration_s": 10.0,
                "terminated": [],
                "survivors": [],
                "finished_at": "2026-01-02T03:04:05+00:00",
                "error": error,
            }
        ),
        result={"status": "FAIL"},
        result_problem=None,
        result_detail=None,
        log_lines=1,
        log_tail=(),
        reconnects=0,
    )


@pytest.mark.parametrize("reason", ["idle", "deadline"])
def test_a_job_that_ran_out_of_time_is_a_timeout_whatever_it_said_when_it_was_ended(reason: str) -> None:
    record = job_finding("run_b_result", "offline", outcome(reason, 1), ECHO_OF_OUR_TERM, None, {})
    assert (record.category, record.layer) == ("timeout", "X")
    assert record.retryable


def test_a_program_that_saw_its_own_deadline_is_a_timeout_although_its_engine_said_cancelled() -> None:
    said = JobResult(status="TIMEOUT", error="DeadlineReached: not finished within 90 s")
    log = "(EngineCore pid=7) ERROR core.py:1] Traceback (most recent call last):\n"
    log += '(EngineCore pid=7) ERROR core.py:1]   File "/x/vllm/v1/engine/core.py", line 1, in step\n'
    log += "(EngineCore pid=7) ERROR core.py:1] RuntimeError: cancelled\n"
    record = job_finding("run_b_result", "offline", outcome("exited", 1), said, None, {"offline.log": log})
    assert record.category == "timeout"
    assert "not finished within 90 s" in record.cause


def test_a_job_that_failed_by_itself_is_judged_by_what_it_said() -> None:
    said = JobResult(status="FAIL", error="torch.OutOfMemoryError: CUDA out of memory.")
    record = job_finding("run_b_result", "offline", outcome("exited", 1), said, None, {})
    assert (record.category, record.component) == ("oom", "memory")


def test_a_server_that_was_killed_is_a_killed_process_whatever_its_last_line_was() -> None:
    # Seen on an H100: a server killed while it loaded was reported with the line on which its log broke off.
    said = JobResult.model_validate(
        {
            "status": "FAIL",
            "error": "the server was ended by signal 9 by itself; its log says: - fl -> vllm_fl:register",
            "exit": {"code": None, "signal": 9},
        }
    )
    log = {"serve.server.log": "INFO 11-26 20:02:09 [__init__.py:46] - fl -> vllm_fl:register\n"}
    record = job_finding("run_a_result", "serve", outcome("exited", 1), said, None, log)
    assert (record.category, record.component) == ("killed", "unknown")
    assert "signal 9" in record.cause
