"""Two daemons on one instance, one of them killed under a running release: each release is done once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from container_scripts.processes import living_in_session, send_signal
from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.store import ResultStore
from tests.faults.machinery import WORKER_KINDS, Place, assert_clean_below, sabotage_scripts, wait_for
from tests.integration.services import environment, tool

__all__ = ["environment"]

LIMIT_S = 240
MODELS = ("org--a", "org--b")


@pytest.fixture(params=WORKER_KINDS)
def worker_place(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with place(request.param, tmp_path) as where:
        yield where


@pytest.fixture
def daemons(environment: dict[str, str], tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two daemons, each with its code server in a session of its own; all of it is ended by pid."""
    with dg.DagsterInstance.get() as instance:  # two daemons must not both make the instance's tables
        instance.add_dynamic_partitions("model", list(MODELS))
    command = [tool("dagster-daemon"), "run", "-w", str(tmp_path / "workspace.yaml")]
    started = []
    for name in ("one", "two"):
        with (tmp_path / f"daemon-{name}.log").open("w") as log:
            started.append(
                subprocess.Popen(
                    command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            )
    yield started
    for process in started:
        for member in living_in_session(process.pid):
            send_signal(member.id, signal.SIGTERM)
    end = time.monotonic() + 20
    while any(living_in_session(process.pid) for process in started) and time.monotonic() < end:
        time.sleep(0.2)
    for process in started:
        for member in living_in_session(process.pid):
            send_signal(member.id, signal.SIGKILL)
        process.wait()


def test_every_release_is_done_though_one_of_two_daemons_is_killed(
    environment: dict[str, str], daemons: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    scripts = Path(environment["DAEMON_TEST_SCRIPTS"])
    sabotage_scripts(scripts, tmp_path, "run_offline_inference", "run_a_result", "time.sleep(6)")
    with dg.DagsterInstance.get() as instance:
        command = [
            *(
                tool("dagster"),
                "job",
                "backfill",
                "-w",
                str(tmp_path / "workspace.yaml"),
                "-l",
                "flagrelease",
            ),
            *("-j", "release", "--partitions", ",".join(f"{model}|cpu" for model in MODELS), "--noprompt"),
        ]
        launched = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=120
        )
        assert launched.returncode == 0, launched.stderr
        mark = tmp_path / "sabotaged-run_offline_inference-run_a_result"
        wait_for(mark.exists, "the middle of the first release", LIMIT_S)
        os.kill(daemons[0].pid, signal.SIGKILL)
        store = ResultStore(str(tmp_path / "results"))

        def reports() -> list[ReleaseReport] | None:
            found = [store.latest("release_report", "cpu", model) for model in MODELS]
            done = [one for one in found if isinstance(one, ReleaseReport) and one.status == Status.PARTIAL]
            return done if len(done) == len(MODELS) else None

        wait_for(reports, "both reports", LIMIT_S)

        def ended() -> bool:
            records = instance.get_run_records(dg.RunsFilter(job_name="release"))
            return all(record.dagster_run.is_finished for record in records)

        wait_for(ended, "the end of all runs", LIMIT_S)
        records = instance.get_run_records(
            dg.RunsFilter(job_name="release", statuses=[dg.DagsterRunStatus.SUCCESS])
        )
    partitions = [record.dagster_run.tags["dagster/partition"] for record in records]
    assert sorted(partitions) == [f"{model}|cpu" for model in MODELS], "a release was done twice"
    assert_clean_below(tmp_path)
