"""What a reader of a release is told when a program of a step fails, and which failures are tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.deployment import LocalWorkerEntry
from tests.doubles.instant_scripts import HEALTHY
from tests.faults.machinery import WORKER_KINDS, Place, assert_clean, make_breakable, sabotage
from tests.integration.rig import Rig


@pytest.fixture(scope="module", params=WORKER_KINDS)
def released(
    request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """An installation with one clean release, whose Run A the tests repeat with a fault."""
    folder = tmp_path_factory.mktemp("released")
    with dg.DagsterInstance.ephemeral() as instance, place(request.param, folder) as where:
        rig = Rig(folder, instance, place=where)
        make_breakable(rig, "test_serve_mode")
        assert rig.run(job="verify").success
        yield rig


def run_a(rig: Rig, **worker: Any) -> ModelRun:
    """Repeat Run A, with these settings of the worker."""
    rig.workers["cpu"] = {**rig.new_worker("cpu"), "retries": 0, **worker}
    rig.write_deployment()
    rig.materialize("run_a_result", force=True)
    return rig.document(ModelRun, "run_a_result")


def answer_with(document: dict[str, Any]) -> str:
    return f"open(output, 'w').write(json.dumps({{**{document!r}, 'run_token': token}})); sys.exit(1)"


WRONG_SCHEMA = "open(output, 'w').write(json.dumps({'run_token': token, 'status': 'SPLENDID'})); os._exit(0)"

ENDINGS = {
    "segfault": ("os.kill(os.getpid(), signal.SIGSEGV)", "2", "segfault", "segmentation fault (signal 11)"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "2", "killed", "often for want of host memory"),
    "exit 137": ("os._exit(137)", "2", "killed", "often for want of host memory"),
    "no result": ("os._exit(0)", "X", "result_missing", "left no result; its log is kept"),
    "truncated": (
        "open(output, 'w').write('{\"status\": \"PA'); os._exit(0)",
        "X",
        "result_truncated",
        "left only a part of its result",
    ),
    "of another run": (
        'open(output, \'w\').write(\'{"status": "PASS", "run_token": "old"}\'); os._exit(0)',
        "X",
        "result_wrong_run",
        "left the result of another run",
    ),
    "wrong schema": (WRONG_SCHEMA, "X", "result_wrong_shape", "left a result of a wrong shape: status"),
    "too large": (
        "open(output, 'w').write('{\"x\": \"' + 'x' * (65 << 20) + '\"}'); os._exit(0)",
        "X",
        "result_too_large",
        "left a result that is too large",
    ),
    "supervisor killed": ("os.kill(os.getppid(), 9); time.sleep(60)", "X", "harness", "the job was lost"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_that_ends_badly_is_an_error_record_that_says_how(released: Rig, ending: str) -> None:
    code, layer, category, words = ENDINGS[ending]
    sabotage(released, "test_serve_mode", "run_a_result", code, times=99)
    document = run_a(released)
    (error,) = document.errors
    assert (document.status, error.step, error.phase) == (Status.FAIL, "run_a_result", "serve"), error
    assert (error.layer, error.category) == (layer, category)
    assert words in error.cause
    assert document.reason is not None and error.cause in document.reason
    assert [job.name for job in document.jobs] == ["offline", "serve"]
    assert all(job.logs for job in document.jobs)
    assert_clean(released)


def test_a_job_that_the_harness_lost_is_tried_again_and_both_attempts_are_kept(released: Rig) -> None:
    sabotage(released, "test_serve_mode", "run_a_result", "os.kill(os.getppid(), 9); time.sleep(60)")
    document = run_a(released, retries=1)
    assert (document.status, document.errors) == (Status.PASS, [])
    _, lost, again = document.jobs
    assert (lost.name, lost.attempt, lost.ended_by, lost.error) == ("serve", 1, "lost", "the job was lost")
    assert (again.name, again.attempt, again.ended_by, again.error) == (
        "serve-attempt-2",
        2,
        "exited",
        None,
    )
    assert lost.logs and again.logs and lost.logs != again.logs
    assert_clean(released)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_harness_that_keeps_failing_is_tried_as_often_as_the_worker_says(
    released: Rig, retries: int
) -> None:
    down = {"status": "FAIL", "phase": "serve", "problem": "network", "error": "the hub does not answer"}
    sabotage(released, "test_serve_mode", "run_a_result", answer_with(down), times=99)
    document = run_a(released, retries=retries)
    assert [job.attempt for job in document.jobs if job.name != "offline"] == list(range(1, retries + 2))
    (error,) = document.errors
    assert (error.layer, error.category, error.retryable) == ("X", "network", True)


def test_a_model_that_fails_is_a_result_and_never_tried_again(released: Rig) -> None:
    oom = {
        **HEALTHY["test_serve_mode"],
        "status": "FAIL",
        "error": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    }
    sabotage(released, "test_serve_mode", "run_a_result", answer_with(oom), times=99)
    document = run_a(released, retries=3)
    assert [job.name for job in document.jobs] == ["offline", "serve"]
    assert document.errors[0].layer == "2"


@pytest.mark.parametrize("retries", [-1, 4, 1.5, "many", None])
def test_retries_are_bounded(retries: Any) -> None:
    with pytest.raises(ValidationError):
        LocalWorkerEntry(retries=retries)
