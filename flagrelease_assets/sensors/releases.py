"""A new model version is released: one run for each vendor, once for each revision.

Belongs here: the sensor on `model_version`, and the requests that a release by a sensor consists of.
Does not belong here: finding versions (`model_versions.py`), what a release does.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from flagrelease_assets.assets.release.step import MODEL_VERSION
from flagrelease_assets.deployment import Deployment, DeploymentError
from flagrelease_assets.jobs import release_job
from flagrelease_assets.partitions import model_partitions, release_key
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import ResultStore

RELEASE_INTERVAL_S = 30
MAX_VERSIONS_A_TICK = 200
REVISION_TAG = "flagrelease/revision"


@dg.sensor(
    name="release_on_new_version",
    job=release_job,
    minimum_interval_seconds=RELEASE_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Requests a release on every vendor with a worker for each new version of `model_version`, unless "
        "`on_new_version: observe` is set or that revision has been released already."
    ),
)
def release_on_new_version(
    context: dg.SensorEvaluationContext, deployment: DeploymentResource
) -> dg.SensorResult | dg.SkipReason:
    """Go through every version that was recorded since the last tick, oldest first."""
    try:
        settings = deployment.load()
    except DeploymentError as error:
        return dg.SkipReason(str(error))
    after = int(context.cursor) if context.cursor and context.cursor.isdigit() else 0
    filters = dg.AssetRecordsFilter(asset_key=MODEL_VERSION, after_storage_id=after)
    records = context.instance.fetch_observations(filters, limit=MAX_VERSIONS_A_TICK, ascending=True).records
    if not records:
        return dg.SkipReason("no new model version was recorded")
    cursor = str(records[-1].storage_id)
    versions = list(_versions(records))
    if settings.on_new_version == "observe":
        said = f"{len(versions)} new versions are only noted: `on_new_version: observe`"
        return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=cursor)
    known = set(context.instance.get_dynamic_partitions(model_partitions.name or ""))
    new = [model for model in dict.fromkeys(model for model, _ in versions) if model not in known]
    requests = list(_requests(settings, deployment.store(), versions))
    context.log.info(
        f"{len(versions)} new versions: {len(requests)} releases on {', '.join(settings.workers)}"
    )
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[model_partitions.build_add_request(new)] if new else [],
        cursor=cursor,
    )


def _versions(records: Iterable[dg.EventLogRecord]) -> Iterator[tuple[str, str]]:
    """Yield (model key, revision) of each recorded version."""
    for record in records:
        observation = record.asset_observation
        if observation and observation.partition and "revision" in observation.metadata:
            yield observation.partition, str(observation.metadata["revision"].value)


def _requests(
    settings: Deployment, store: ResultStore, versions: Iterable[tuple[str, str]]
) -> Iterator[dg.RunRequest]:
    for model, revision in dict.fromkeys(versions):
        try:
            settings.model(model)
        except DeploymentError:  # its entry is gone since
            continue
        for vendor in settings.workers:
            newest = store.newest_row("release_report", vendor, model)
            if newest is None or newest.model_revision != revision:
                yield release_request(vendor, model, f"{model}@{revision}:{vendor}", {REVISION_TAG: revision})


def release_request(vendor: str, model: str, run_key: str, tags: dict[str, str]) -> dg.RunRequest:
    """Return the request for one release; Dagster runs a key once."""
    return dg.RunRequest(run_key=run_key, partition_key=release_key(vendor, model), tags=tags)
