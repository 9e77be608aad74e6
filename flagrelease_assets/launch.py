"""Running a job for one vendor and model in this process, with progress in the terminal.

Belongs here: launching from the command line. Does not belong here: queues and backfills (the daemon),
the work itself (assets).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import dagster as dg

from flagrelease_assets.assets.release.step import FORCE_TAG
from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import Status, StepDocument
from flagrelease_assets.jobs import TARGETS
from flagrelease_assets.partitions import MODEL_DIMENSION, release_key
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import StoredResultError

PROGRESS_LOGGER = "progress"

OnMessage = Callable[[str, str], None]


@dataclass(frozen=True)
class LaunchResult:
    """A finished run of this process, with the document of the step that its job ends with."""

    run_id: str
    success: bool
    seconds: float
    document: StepDocument | None
    failure: str | None = None

    @property
    def report(self) -> ReleaseReport | None:
        """The report, if the job makes one."""
        return self.document if isinstance(self.document, ReleaseReport) else None

    @property
    def status(self) -> Status:
        """The status of the job's last step; FAIL if it left no document."""
        return self.document.status if self.document else Status.FAIL


def launch(
    instance: dg.DagsterInstance,
    job: str,
    vendor: str,
    model: str,
    *,
    force: bool | Collection[str] = False,
    on_message: OnMessage | None = None,
    deployment: DeploymentResource | None = None,
) -> LaunchResult:
    """Run a closure job to its end.

    Args:
        instance: where the run is recorded; the UI of the same instance shows it.
        job: name of a job of `jobs.py`.
        vendor: canonical vendor name.
        model: model partition key; it is added if the instance does not have it.
        force: measure every step, or those named, anew instead of reusing unchanged results.
        on_message: called with (step, message) for every log message of a step, as it happens.
        deployment: the deployment to use instead of the configured one.
    """
    from flagrelease_assets.definitions import build_defs

    instance.add_dynamic_partitions(MODEL_DIMENSION, [model])
    resource = deployment or DeploymentResource()
    definitions = build_defs(
        resource_overrides={"deployment": resource}, loggers={PROGRESS_LOGGER: _progress_logger(on_message)}
    )
    started = time.monotonic()
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=release_key(vendor, model),
        run_config={"loggers": {PROGRESS_LOGGER: {"config": {}}}},
        tags=_force_tag(force),
        raise_on_error=False,
    )
    document: StepDocument | None = None
    unreadable: str | None = None
    try:
        document = resource.store().of_run(TARGETS[job], vendor, model, result.run_id)
    except StoredResultError as error:
        unreadable = str(error)
    return LaunchResult(
        result.run_id,
        result.success,
        time.monotonic() - started,
        document,
        _failure(result) or unreadable,
    )


def _force_tag(force: bool | Collection[str]) -> dict[str, str]:
    if not force:
        return {}
    return {FORCE_TAG: "all" if force is True else ",".join(force)}


def _failure(result: dg.ExecuteInProcessResult) -> str | None:
    """Return the first error that is not a recorded result: a defect of ours, or of the instance."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            return f"{event.step_key}: {data.error_display_string.strip()}"
    return None


def _progress_logger(on_message: OnMessage | None) -> dg.LoggerDefinition:
    """Return a Dagster logger that hands every step's messages over and prints nothing itself."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta: dict[str, Any] = getattr(record, "dagster_meta", {})
            step = meta.get("step_key")
            if on_message and step:
                on_message(step, meta.get("orig_message") or record.getMessage())

    @dg.logger(config_schema={}, description="Hands messages to the command line.")
    def progress(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("flagrelease.progress", level=logging.INFO)
        logger.addHandler(Handler())
        return logger

    return progress
