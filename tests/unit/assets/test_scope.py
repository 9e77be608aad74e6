"""What a step leaves behind when its worker lets it down: no connection, and all that was known of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.contracts.common import JobResult, StepDocument
from flagrelease_assets.deployment import Deployment, LocalWorkerEntry, ModelEntry
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.local import LocalWorker

MODEL = ModelEntry(id="org/model")


@pytest.fixture
def scope(tmp_path: Path) -> StepScope:
    entry = LocalWorkerEntry(work_root=str(tmp_path / "worker"))
    deployment = Deployment(workers={"cpu": entry}, models=[MODEL])
    return StepScope(
        step="run_a_result",
        vendor="cpu",
        model=MODEL.key,
        run_id="r",
        load_deployment=lambda: deployment,
        store=ResultStore(str(tmp_path / "results")),
        upstream={},
        emit=lambda line: None,
    )


def test_a_worker_whose_devices_are_busy_is_closed_because_nobody_else_can(
    scope: StepScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[LocalWorker] = []
    monkeypatch.setattr(LocalWorker, "close", lambda worker: closed.append(worker))

    def busy(*_: Any) -> Any:
        raise WorkerError(WorkerProblem.DEVICE_BUSY, "the devices stayed taken")

    scope.hold_devices = busy
    with pytest.raises(WorkerError, match="stayed taken"):
        _ = scope.worker
    assert len(closed) == 1


def test_a_job_whose_worker_goes_away_keeps_the_log_received_and_a_record_of_it(
    scope: StepScope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    scope.emit = said.append

    def killed(*_: Any, on_line: Any, log_file: Path, **__: Any) -> Any:
        log_file.write_text("loading weights\n")
        on_line("loading weights")
        raise WorkerError(WorkerProblem.CONTAINER_NOT_RUNNING, "the container was killed")

    monkeypatch.setattr("flagrelease_assets.assets.release.scope.run_job", killed)
    with pytest.raises(WorkerError, match="was killed"):
        scope.run_job("offline", "run_offline_inference", [], JobResult, deadline_s=60)
    (record,) = scope.document(StepDocument, status="FAIL").jobs
    assert (record.ended_by, record.error) == ("lost", "the container was killed")
    (log,) = record.logs
    assert (tmp_path / "results" / log).read_text() == "loading weights\n"
    assert any("loading weights" in line for line in said)


def test_a_job_that_was_never_started_has_a_record_without_a_log(
    scope: StepScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise WorkerError(WorkerProblem.ENGINE_UNREACHABLE, "no engine")

    monkeypatch.setattr("flagrelease_assets.assets.release.scope.run_job", unreachable)
    with pytest.raises(WorkerError, match="no engine"):
        scope.run_job("offline", "run_offline_inference", [], JobResult, deadline_s=60)
    (record,) = scope.jobs
    assert (record.error, record.logs) == ("no engine", [])
