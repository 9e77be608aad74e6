"""What happens without a click: models are observed, the board follows reports, lost runs get theirs.

Belongs here: sensors. Does not belong here: hub requests (`hubs`), what a launched job does.
"""

import dagster as dg

from flagrelease_assets.assets.release.report import REPORT_STEP
from flagrelease_assets.assets.release.step import LOST_RUN_TAG, MODEL_VERSION
from flagrelease_assets.deployment import Deployment, DeploymentError
from flagrelease_assets.jobs import RELEASE_JOB, REPORT_JOB, board_job, report_job
from flagrelease_assets.partitions import model_partitions
from flagrelease_assets.resources import DeploymentResource

OBSERVATION_INTERVAL_S = 300
LOOKUP_DEADLINE_S = 50.0


@dg.sensor(
    name="model_versions",
    minimum_interval_seconds=OBSERVATION_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds the deployment's models as partitions and observes the version of each.",
)
def model_versions(
    context: dg.SensorEvaluationContext, deployment: DeploymentResource
) -> dg.SensorResult | dg.SkipReason:
    """Observe every configured model; a model whose source does not answer is deferred with the reason."""
    try:
        settings = deployment.load()
    except DeploymentError as error:
        return dg.SkipReason(str(error))
    if not settings.models:
        return dg.SkipReason(f"no models are configured: add entries under `models:` in {deployment.file}")
    known = set(context.instance.get_dynamic_partitions(model_partitions.name or ""))
    new = [entry.key for entry in settings.models if entry.key not in known]
    observations, deferred = _observe(settings)
    for reason in deferred:
        context.log.info(reason)
    return dg.SensorResult(
        dynamic_partitions_requests=[model_partitions.build_add_request(new)] if new else [],
        asset_events=observations,
    )


def _observe(settings: Deployment) -> tuple[list[dg.AssetObservation], list[str]]:
    """Return an observation for each model whose version could be told, and why the others could not."""
    from flagrelease_assets.hubs.base import Deferred
    from flagrelease_assets.hubs.lookup import look_up_all_now
    from flagrelease_assets.hubs.settings import ClientSettings

    results = look_up_all_now(
        [entry.reference for entry in settings.models],
        client_settings=ClientSettings(),
        deadline_s=LOOKUP_DEADLINE_S,
    )
    observations: list[dg.AssetObservation] = []
    deferred: list[str] = []
    for entry, result in zip(settings.models, results, strict=True):
        if isinstance(result, Deferred):
            deferred.append(f"{entry.id}: deferred: {result.reason}")
            continue
        metadata: dict[str, dg.MetadataValue | str | int] = {
            "model_id": entry.id,
            "source": entry.source,
            "revision": result.revision,
            "requested_revision": entry.revision or "",
            "total_bytes": result.total_bytes,
            "file_count": len(result.files),
        }
        if result.last_modified:
            metadata["last_modified"] = result.last_modified.isoformat()
        if result.config:
            metadata["config"] = dg.MetadataValue.json(result.config.model_dump(mode="json"))
        observations.append(
            dg.AssetObservation(
                MODEL_VERSION,
                partition=entry.key,
                metadata=metadata,
                tags={"dagster/data_version": result.data_version},
            )
        )
    return observations, deferred


@dg.asset_sensor(
    asset_key=dg.AssetKey(REPORT_STEP),
    name="board_follows_reports",
    job=board_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the board anew after reports; several reports between two ticks need one board.",
)
def board_follows_reports(
    context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry
) -> dg.RunRequest:
    """Request one board for the newest report."""
    return dg.RunRequest(run_key=f"board-{asset_event.run_id}-{asset_event.timestamp}")


def lost_release(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the partition of a release run that ended without its report, or None.

    A FAIL verdict turns a run red too, after its report is stored; and a report made for a lost run must
    not ask for another one.
    """
    partition = run.tags.get("dagster/partition")
    if not partition or LOST_RUN_TAG in run.tags or not _makes_report(run):
        return None
    filters = dg.AssetRecordsFilter(asset_key=dg.AssetKey(REPORT_STEP), asset_partitions=[partition])
    records = instance.fetch_materializations(filters, limit=1).records
    return None if records and records[0].run_id == run.run_id else partition


def _makes_report(run: dg.DagsterRun) -> bool:
    """Whether a run was to make the report: by its job, or by the assets selected in the UI."""
    if run.job_name in (RELEASE_JOB, REPORT_JOB):
        return True
    return dg.AssetKey(REPORT_STEP) in (run.asset_selection or frozenset())


def _report_for(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    run = context.dagster_run
    partition = lost_release(context.instance, run)
    if partition is None:
        return dg.SkipReason(f"run {run.run_id} has its report, or was not to make one")
    return dg.RunRequest(run_key=run.run_id, partition_key=partition, tags={LOST_RUN_TAG: run.run_id})


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    request_job=report_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the report of a run whose process died before it could.",
)
def report_of_failed_run(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Request the report alone for a run that failed without one."""
    return _report_for(context)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    request_job=report_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the report of a run that was cancelled before it could.",
)
def report_of_cancelled_run(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Request the report alone for a run that was cancelled without one."""
    return _report_for(context)


ALL_SENSORS = [model_versions, board_follows_reports, report_of_failed_run, report_of_cancelled_run]
