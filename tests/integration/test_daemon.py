"""A real daemon and its queue: a backfill of two vendors x three models, one run per vendor at a time."""

from __future__ import annotations

import itertools
import subprocess
import time
from pathlib import Path

import dagster as dg

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.store import ResultStore
from tests.integration.services import MODELS, VENDORS, tool

DEADLINE_S = 240


def test_a_backfill_runs_one_release_per_vendor_at_a_time_and_vendors_in_parallel(
    daemon: Path, environment: dict[str, str]
) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", list(MODELS))
        partitions = ",".join(f"{model}|{vendor}" for vendor in VENDORS for model in MODELS)
        launched = subprocess.run(
            [
                tool("dagster"),
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
