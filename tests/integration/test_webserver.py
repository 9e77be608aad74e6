"""Launching from the UI's own interface: a real webserver and daemon, asked as the browser asks them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.store import ResultStore
from tests.integration.rig import STEPS

DEADLINE_S = 180
BACKFILL = """
mutation($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message stack }
  }
}
"""
LAUNCH = """
mutation($executionParams: ExecutionParams!) {
  launchPipelineExecution(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message stack }
  }
}
"""


def ask(port: int, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/graphql", json={"query": query, "variables": variables}, timeout=60
    )
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    assert "errors" not in body, body["errors"]
    data: dict[str, Any] = body["data"]
    return data


def wait_for_report(folder: Path, instance: dg.DagsterInstance, vendor: str, model: str) -> ReleaseReport:
    store = ResultStore(str(folder / "results"))
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        report = store.latest("release_report", vendor, model)
        if isinstance(report, ReleaseReport):
            return report
        time.sleep(1)
    states = [
        (record.dagster_run.job_name, record.dagster_run.status) for record in instance.get_run_records()
    ]
    raise AssertionError(
        f"no report within {DEADLINE_S} s: {states}\n{(folder / 'daemon.log').read_text()[-3000:]}"
    )


def test_the_release_job_is_launched_from_the_ui_for_one_partition(webserver: int, daemon: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", ["org--a"])
        answer = ask(
            webserver,
            LAUNCH,
            {
                "executionParams": {
                    "selector": {
                        "repositoryLocationName": "flagrelease",
                        "repositoryName": "__repository__",
                        "jobName": "release",
                    },
                    "runConfigData": {},
                    "executionMetadata": {
                        "tags": [
                            {"key": "dagster/partition", "value": "org--a|nvidia"},
                            {"key": "dagster/partition/vendor", "value": "nvidia"},
                            {"key": "dagster/partition/model", "value": "org--a"},
                        ]
                    },
                }
            },
        )
        assert answer["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", answer
        assert wait_for_report(daemon, instance, "nvidia", "org--a").status == Status.PASS


def test_a_backfill_of_assets_over_two_vendors_is_launched_from_the_ui(webserver: int, daemon: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", ["org--b"])
        answer = ask(
            webserver,
            BACKFILL,
            {
                "backfillParams": {
                    "assetSelection": [{"path": [step]} for step in STEPS],
                    "partitionNames": ["org--b|cpu", "org--b|nvidia"],
                }
            },
        )
        assert answer["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", answer
        assert wait_for_report(daemon, instance, "cpu", "org--b").status == Status.PARTIAL
        assert wait_for_report(daemon, instance, "nvidia", "org--b").status == Status.PASS
