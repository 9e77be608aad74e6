"""What a step leaves behind when its worker lets it down: no connection, and all that was known of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flagrelease_assets.assets.release.scope import StepScope
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
