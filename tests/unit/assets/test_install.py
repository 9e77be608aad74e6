"""What is built from source is found again by the next run, and missed when it is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flagrelease_assets.assets.release.install import INSTALL_STATUS
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.deployment import Deployment, LocalWorkerEntry, ModelEntry
from flagrelease_assets.results.store import ResultStore

LIBRARY = "checkouts/FlagCX/build/lib/libflagcx.so"


@pytest.fixture
def scope(tmp_path: Path) -> StepScope:
    return scope_of_run(tmp_path, "r1")


def scope_of_run(folder: Path, run_id: str) -> StepScope:
    worker = LocalWorkerEntry(work_root=str(folder / "worker"))
    model = ModelEntry(id="org/model")
    deployment = Deployment(workers={"nvidia": worker}, models=[model])
    return StepScope(
        step="install_status",
        vendor="nvidia",
        model=model.key,
        run_id=run_id,
        load_deployment=lambda: deployment,
        store=ResultStore(str(folder / "results")),
        upstream={},
        emit=lambda line: None,
    )


def test_a_lost_or_rebuilt_library_changes_what_the_environment_is_made_of(
    scope: StepScope, tmp_path: Path
) -> None:
    library = tmp_path / "worker" / LIBRARY
    library.parent.mkdir(parents=True)
    library.write_bytes(b"built")
    built, unchanged = INSTALL_STATUS.settings(scope), INSTALL_STATUS.settings(scope)
    library.unlink()
    lost = INSTALL_STATUS.settings(scope)
    assert built == unchanged
    assert {name for name in built if built[name] != lost[name]} == {"built libraries"}


def test_every_run_builds_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def record(self: StepScope, name: str, program: str, arguments: list[str], *_: Any, **__: Any) -> Any:
        if name == "install-flagcx":
            started.append(arguments)
        return JobReport(outcome=None, document=None, error=None)  # type: ignore[arg-type]  # nothing ran

    monkeypatch.setattr(StepScope, "run_job", record)
    for run_id in ("r1", "r2"):
        INSTALL_STATUS.perform(scope_of_run(tmp_path, run_id))
    first, second = (words[words.index("--workdir") + 1] for words in started)
    assert first == second == str(tmp_path / "worker" / "checkouts")
