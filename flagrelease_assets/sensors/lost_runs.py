"""Runs that ended without their report get it.

Belongs here: the sensors on failed and cancelled runs. Does not belong here: the report itself.
"""

import dagster as dg

from flagrelease_assets.assets.release.report import REPORT_STEP
from flagrelease_assets.assets.release.step import LOST_RUN_TAG
from flagrelease_assets.jobs import RELEASE_JOB, REPORT_JOB, report_job


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
