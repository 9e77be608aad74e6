"""A run that is cancelled in the UI: its job in the worker is over within ten seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from flagrelease_assets.backfill.plan import chosen, plan_cells
from flagrelease_assets.backfill.server import DagsterServer
from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.deployment import load_deployment
from flagrelease_assets.results.store import ResultStore
from tests.faults.machinery import (
    WORKER_KINDS,
    Place,
    assert_clean_below,
    left_of,
    sabotage_scripts,
    token_of_sabotaged_job,
    wait_for,
)
from tests.integration.services import daemon, environment, webserver

__all__ = ["daemon", "environment", "webserver"]

PROMISED_S = 10
PATIENCE_S = 200
PROGRAM, STEP = "run_offline_inference", "run_a_result"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
TERMINATE = """
mutation Terminate($run: String!) {
  terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE) { __typename }
}
"""
"""What the button "Terminate" of the UI sends."""


@pytest.fixture(params=WORKER_KINDS)
def worker_place(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with place(request.param, tmp_path) as where:
        yield where


def test_a_run_cancelled_in_the_ui_ends_even_a_stubborn_job_within_ten_seconds_and_is_reported(
    environment: dict[str, str], webserver: int, daemon: Path
) -> None:
    sabotage_scripts(Path(environment["DAEMON_TEST_SCRIPTS"]), daemon, PROGRAM, STEP, STUBBORN)
    address = f"http://127.0.0.1:{webserver}"
    store = ResultStore(str(daemon / "results"))
    deployment = load_deployment(daemon / "flagrelease.yaml")
    with dg.DagsterInstance.get() as instance:
        DagsterServer(address).launch(chosen(plan_cells(deployment, store, ["cpu"], ["org--a"])))
        token = token_of_sabotaged_job(daemon, PROGRAM, STEP, PATIENCE_S)
        (record,) = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        run_id = record.dagster_run.run_id
        began = time.monotonic()
        answer = httpx.post(
            f"{address}/graphql", json={"query": TERMINATE, "variables": {"run": run_id}}, timeout=60
        )
        assert answer.json()["data"]["terminateRun"]["__typename"] == "TerminateRunSuccess"
        wait_for(lambda: not left_of(token), "the end of the job")
        assert time.monotonic() - began < PROMISED_S

        def report() -> ReleaseReport | None:
            found = store.latest("release_report", "cpu", "org--a")
            return found if isinstance(found, ReleaseReport) else None

        assert "lost" in str(wait_for(report, "the report of the cancelled run", PATIENCE_S).reason)
        assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.CANCELED  # type: ignore[union-attr]
    assert_clean_below(daemon)
