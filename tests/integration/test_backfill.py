"""Backfills: which cells are released, through the queue of a real daemon and here, and how one is ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from flagrelease_assets.backfill.plan import chosen, plan_cells
from flagrelease_assets.backfill.progress import LOST, Progress
from flagrelease_assets.backfill.server import DagsterServer
from flagrelease_assets.contracts.common import Status, StepDocument
from flagrelease_assets.results.store import ResultStore
from tests.integration.rig import STEPS, Rig

DEADLINE_S = 240


def plan(rig: Rig, *vendors: str, missing_only: bool = True) -> dict[str, tuple[bool, str]]:
    deployment = rig.resource.load()
    cells = plan_cells(deployment, rig.resource.store(), vendors, ["org--toy"], missing_only=missing_only)
    return {cell.vendor: (cell.chosen, cell.reason) for cell in cells}


def test_a_vendor_without_a_worker_is_left_out_and_says_what_to_add(rig: Rig) -> None:
    rig.write_deployment()
    found = plan(rig, "cpu", "metax", missing_only=False)
    assert found["cpu"] == (True, "asked for")
    assert not found["metax"][0]
    assert "no worker" in found["metax"][1] and "workers.metax" in found["metax"][1]


def test_a_vendor_without_a_worker_is_skipped_with_the_key_to_add_and_a_backfill_goes_on(
    rig: Rig,
) -> None:
    result = rig.run(vendor="nvidia")
    assert (result.success, result.status) == (True, Status.SKIPPED)
    for step in STEPS:
        document = rig.document(StepDocument, step, "nvidia")
        assert document.status == Status.SKIPPED
        assert "no worker: vendor 'nvidia' has no worker: add `workers.nvidia:" in (document.reason or "")
        assert str(rig.deployment_file) in (document.reason or "")


def test_missing_only_takes_what_never_ran_and_leaves_what_has_a_verdict(rig: Rig) -> None:
    rig.write_deployment()
    assert plan(rig, "cpu") == {"cpu": (True, "no release has run, or its report is unreadable")}
    result = rig.run()
    assert plan(rig, "cpu") == {"cpu": (False, f"has {result.status} of run {result.run_id}")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": Status.BLOCKED}, "is BLOCKED"),
        ({"conclusion": "The run was lost or cancelled: release again."}, "its run was lost"),
        ({"stack_release": "cpu-0.1"}, "is of stack release cpu-0.1, and cpu-0.32.0 is configured"),
    ],
)
def test_missing_only_takes_what_is_no_result_for_what_is_configured(
    rig: Rig, changes: dict[str, object], reason: str
) -> None:
    report = rig.run().report
    assert report is not None
    rig.resource.store().put(report.model_copy(update={**changes, "run_id": "later"}))
    assert plan(rig, "cpu") == {"cpu": (True, reason)}


def test_progress_ends_with_the_worst_verdict_and_skipped_fails_nobody(rig: Rig) -> None:
    rig.write_deployment()
    cells = plan_cells(rig.resource.load(), rig.resource.store(), ["cpu", "metax"], ["org--toy"])
    progress = Progress.of(cells)
    assert not progress.is_over
    progress.finish("cpu", "org--toy", "PASS")
    assert (progress.is_over, progress.exit_code) == (True, 0)
    progress.finish("cpu", "org--toy", "PARTIAL")
    assert progress.exit_code == 1
    progress.finish("cpu", "org--toy", LOST)
    assert progress.exit_code == 2


def command(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flagrelease_assets.cli", "backfill", *arguments],
        cwd=folder,
        env={**environment, "FLAGRELEASE_DEPLOYMENT": str(folder / "flagrelease.yaml")},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_a_backfill_through_the_queue_shows_every_cell_and_ends_with_the_worst_verdict(
    webserver: int, daemon: Path, environment: dict[str, str]
) -> None:
    url = f"http://127.0.0.1:{webserver}"
    done = command(
        daemon, environment,
        "--models", "org/a", "--vendors", "cpu,nvidia,metax", "--url", url, "--canary", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    cells = {cell["vendor"]: cell for cell in json.loads(done.stdout)}
    assert {vendor: cell["state"] for vendor, cell in cells.items()} == {
        "cpu": "PARTIAL",
        "nvidia": "PASS",
        "metax": "SKIPPED",
    }
    store = ResultStore(str(daemon / "results"))
    report = store.latest("release_report", "nvidia", "org--a")
    assert report is not None and report.run_id == cells["nvidia"]["run_id"]
    again = command(daemon, environment, "--models", "org/a", "--missing-only", "--url", url, "--json")
    assert {cell["state"] for cell in json.loads(again.stdout)} == {"SKIPPED"}, "nothing was missing"


def test_a_webserver_that_was_named_and_does_not_answer_is_an_error(
    daemon: Path, environment: dict[str, str]
) -> None:
    done = command(daemon, environment, "--models", "org/a", "--url", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "no webserver of flagrelease answers at http://127.0.0.1:9" in done.stderr


def test_a_dry_run_starts_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    done = command(tmp_path, environment, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 6
    assert not (tmp_path / "results").exists()


def test_without_a_server_each_release_runs_here_and_the_worst_verdict_is_the_exit_code(
    tmp_path: Path,
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)  # nothing can be installed: the gate closes at once
    worker = {
        "kind": "local",
        "python": str(tmp_path / "bare" / "bin" / "python"),
        "work_root": str(tmp_path / "worker"),
        "lock_root": str(tmp_path / "locks"),
        "retries": 0,
    }
    content = {"results": "results", "workers": {"cpu": worker}, "models": [{"id": "org/a"}, {"id": "org/b"}]}
    (tmp_path / "flagrelease.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    done = command(
        tmp_path, {**os.environ, "DAGSTER_HOME": str(tmp_path)}, "--vendors", "cpu,metax", "--here", "--json"
    )
    assert done.returncode == 2, done.stdout + done.stderr
    cells = json.loads(done.stdout)
    store = ResultStore(str(tmp_path / "results"))
    for cell in cells:
        if cell["vendor"] == "metax":
            assert cell["state"] == "SKIPPED"
            continue
        assert (cell["state"], cell["run_id"] is not None) == ("FAIL", True), cell
        assert "install gate is closed" in cell["detail"]
        assert datetime.fromisoformat(cell["started"]) < datetime.fromisoformat(cell["ended"])
        report = store.latest("release_report", "cpu", cell["model"])
        assert report is not None and report.run_id == cell["run_id"]
    first, second = (cell for cell in cells if cell["vendor"] == "cpu")
    assert first["ended"] <= second["started"], "one release at a time on a vendor's devices"


def test_cancelling_a_backfill_ends_the_jobs_in_the_workers_and_the_runs_get_their_report(
    tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    program = Path(environment["DAEMON_TEST_SCRIPTS"]) / "run_offline_inference.py"
    program.write_text("import time\nprint('working', flush=True)\ntime.sleep(600)\n")
    port = request.getfixturevalue("webserver")
    folder = request.getfixturevalue("daemon")
    server = DagsterServer(f"http://127.0.0.1:{port}")
    store = ResultStore(str(folder / "results"))
    with dg.DagsterInstance.get():
        cells = plan_cells_of(folder, store)
        backfill = server.launch(cells)
        wait_until(lambda: working_jobs(tmp_path), folder, "no job started")
        began = time.monotonic()
        server.cancel(backfill)
        wait_until(lambda: not working_jobs(tmp_path), folder, "the job in the worker goes on")
        assert time.monotonic() - began < 60
        wait_until(
            lambda: (
                (report := store.latest("release_report", "cpu", "org--a")) and "lost" in str(report.reason)
            ),
            folder,
            "the cancelled run has no report",
        )


def plan_cells_of(folder: Path, store: ResultStore) -> list:  # type: ignore[type-arg]
    from flagrelease_assets.deployment import load_deployment

    deployment = load_deployment(folder / "flagrelease.yaml")
    return chosen(plan_cells(deployment, store, ["cpu"], ["org--a"]))


def working_jobs(folder: Path) -> list[int]:
    """Return the processes of the long program that run below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(str(folder).encode() in word and b"run_offline_inference.py" in word for word in words):
                found.append(int(entry.name))
    return found


def wait_until(condition: object, folder: Path, otherwise: str) -> None:
    assert callable(condition)
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.5)
    raise AssertionError(f"{otherwise}\n{(folder / 'daemon.log').read_text()[-4000:]}")
