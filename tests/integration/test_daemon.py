"""A real daemon and its queue: a backfill of two vendors x three models, one run per vendor at a time."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.store import ResultStore
from tests.doubles.instant_scripts import FULL_STACK, make_instant_scripts

PROJECT = Path(__file__).parents[2]
VENDORS = ("cpu", "nvidia")
MODELS = ("org--a", "org--b", "org--c")
DEADLINE_S = 240


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A $DAGSTER_HOME with the project's dagster.yaml, a deployment of two workers, and a workspace."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    deployment: dict[str, Any] = {
        "results": "results",
        "workers": {
            vendor: {"kind": "local", "work_root": str(tmp_path / f"worker-{vendor}")} for vendor in VENDORS
        },
        "models": [
            {"id": key.replace("--", "/"), "source": "folder", "path": f"/models/{key}"} for key in MODELS
        ],
    }
    (tmp_path / "flagrelease.yaml").write_text(yaml.safe_dump(deployment))
    here = str(Path(__file__).parent / "daemon_workspace.py")
    workspace = {"load_from": [{"python_file": {"relative_path": here, "location_name": "flagrelease"}}]}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    variables = {
        "DAGSTER_HOME": str(home),
        "DAEMON_TEST_DEPLOYMENT": str(tmp_path / "flagrelease.yaml"),
        "DAEMON_TEST_SCRIPTS": str(make_instant_scripts(tmp_path, FULL_STACK)),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **variables}


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """A running daemon; ended by its own pid, with the code servers that it started."""
    with (tmp_path / "daemon.log").open("w") as log:
        process = subprocess.Popen(
            [_tool("dagster-daemon"), "run", "-w", str(tmp_path / "workspace.yaml")],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        yield tmp_path
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_backfill_runs_one_release_per_vendor_at_a_time_and_vendors_in_parallel(
    daemon: Path, environment: dict[str, str]
) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", list(MODELS))
        partitions = ",".join(f"{model}|{vendor}" for vendor in VENDORS for model in MODELS)
        launched = subprocess.run(
            [
                _tool("dagster"),
                *("job", "backfill", "-w", str(daemon / "workspace.yaml"), "-l", "flagrelease"),
                *("-j", "release", "--partitions", partitions, "--noprompt"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert launched.returncode == 0, launched.stdout + launched.stderr
        records = _finished_runs(instance, daemon)
    spans: dict[str, list[tuple[float, float]]] = {vendor: [] for vendor in VENDORS}
    for record in records:
        vendor = record.dagster_run.tags["dagster/partition/vendor"]
        assert record.start_time is not None and record.end_time is not None
        spans[vendor].append((record.start_time, record.end_time))
    for vendor, times in spans.items():
        ordered = sorted(times)
        overlaps = [(a, b) for a, b in itertools.pairwise(ordered) if b[0] < a[1]]
        assert not overlaps, f"{vendor} ran two releases at once: {overlaps}"
    across = [(a, b) for a in spans["cpu"] for b in spans["nvidia"] if a[0] < b[1] and b[0] < a[1]]
    assert across, "the two vendors never ran at the same time"
    store = ResultStore(str(daemon / "results"))
    for model in MODELS:
        for vendor, verdict in (("cpu", Status.PARTIAL), ("nvidia", Status.PASS)):
            report = store.latest("release_report", vendor, model)
            assert isinstance(report, ReleaseReport)
            assert report.status == verdict, report.findings


def _finished_runs(instance: dg.DagsterInstance, folder: Path) -> list[dg.RunRecord]:
    """Wait until every run of the backfill has ended, and return them."""
    end = time.monotonic() + DEADLINE_S
    wanted = len(VENDORS) * len(MODELS)
    filters = dg.RunsFilter(job_name="release")
    while time.monotonic() < end:
        records = list(instance.get_run_records(filters))
        if len(records) == wanted and all(record.dagster_run.is_finished for record in records):
            return records
        time.sleep(1)
    states = [
        (record.dagster_run.tags.get("dagster/partition"), record.dagster_run.status) for record in records
    ]
    log = (folder / "daemon.log").read_text()[-4000:]
    raise AssertionError(f"not all runs ended within {DEADLINE_S} s: {states}\n{log}")


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
