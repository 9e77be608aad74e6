"""One click on any asset: what was missing or stale above it is launched, once.

A step that was asked for without what it needs above it stores BLOCKED and names what is missing. This
sensor sees the run that did so and launches the closure of those steps for the same partition. A closure
holds everything above its target, so it never asks for another one.

Belongs here: the sensor. Does not belong here: what is missing or stale (`assets/release/freshness.py`).
"""

import dagster as dg

from flagrelease_assets.assets.release.step import LOST_RUN_TAG, PULLED_TAG
from flagrelease_assets.contracts import STEP_DOCUMENTS
from flagrelease_assets.jobs import closure_of, release_job
from flagrelease_assets.partitions import split_release_key
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import ResultStore, StoredResultError

PULL_INTERVAL_S = 5


def waiting_steps(store: ResultStore, run: dg.DagsterRun) -> list[str]:
    """Return the steps that a run stored as waiting for what was missing or stale above them."""
    partition = run.tags.get("dagster/partition")
    if not partition or PULLED_TAG in run.tags or LOST_RUN_TAG in run.tags:
        return []
    try:
        vendor, model = split_release_key(partition)
    except ValueError:
        return []
    return [step for step in STEP_DOCUMENTS if _waits(store, step, vendor, model, run.run_id)]


def _waits(store: ResultStore, step: str, vendor: str, model: str, run_id: str) -> bool:
    try:
        document = store.of_run(step, vendor, model, run_id)
    except (StoredResultError, ValueError):
        return False
    return document is not None and bool(document.missing_upstream)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="pull_upstream",
    request_job=release_job,
    minimum_interval_seconds=PULL_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Launches what was missing or stale above an asset that was materialized on its own, with that "
        "asset, for the same vendor and model."
    ),
)
def pull_upstream(
    context: dg.RunStatusSensorContext, deployment: DeploymentResource
) -> dg.RunRequest | dg.SkipReason:
    """Request the closure of the steps of a run that wait for it."""
    run = context.dagster_run
    waiting = waiting_steps(deployment.store(), run)
    if not waiting:
        return dg.SkipReason(f"run {run.run_id} waits for nothing above it")
    assert context.repository_def is not None
    closure = closure_of(waiting).resolve(context.repository_def.asset_graph)
    return dg.RunRequest(
        run_key=f"pull-{run.run_id}",
        partition_key=run.tags["dagster/partition"],
        asset_selection=sorted(closure),
        tags={PULLED_TAG: run.run_id},
    )
