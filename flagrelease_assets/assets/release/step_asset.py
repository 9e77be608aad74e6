"""The one way in which every step of the release becomes a Dagster asset.

Belongs here: the asset with its check, metadata and data version; opening the scope of a run.
Does not belong here: gates, reuse and failures of a step (`step.py`), what a step does (its own module).
"""

import traceback
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from container_scripts.scripts_digest import scripts_digest
from flagrelease_assets.assets.release.metadata import step_metadata
from flagrelease_assets.assets.release.scope import ObservedVersion, StepScope
from flagrelease_assets.assets.release.step import (
    FORCE_TAG,
    LOST_RUN_TAG,
    MODEL_VERSION,
    RELEASE_GROUP,
    STACK_RELEASE,
    Step,
    Upstream,
    run_step,
)
from flagrelease_assets.contracts.common import (
    Status,
    StepDocument,
    digest,
    utc_now,
)
from flagrelease_assets.deployment import DeploymentError
from flagrelease_assets.device_locks import DeviceLocks
from flagrelease_assets.partitions import (
    MODEL_DIMENSION,
    VENDOR_DIMENSION,
    release_partitions,
    split_release_key,
)
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.verdict import step_finding
from flagrelease_assets.waivers import accepted
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT

STATUS_CHECK = "status"
OBSERVED = ("revision", "source", "requested_revision")


class StepConfig(dg.Config):
    """Launch-time choices of a step."""

    force: bool = Field(
        default=False, description="Run even if an unchanged PASS is stored and could be reused."
    )


def build_step_asset(step: Step) -> dg.AssetsDefinition:
    """Return the Dagster asset of a step, with its status check."""

    @dg.asset(
        name=step.name,
        group_name=RELEASE_GROUP,
        description=step.description,
        partitions_def=release_partitions,
        ins={name: dg.AssetIn(name) for name in step.upstream},
        deps=_external_dependencies(step),
        check_specs=[_check_spec(step)],
        code_version=_code_version(),
        kinds=set(step.kinds),
        owners=["team:flagrelease"],
        io_manager_key="results",
        dagster_type=dg.PythonObjectDagsterType(step.kind, name=f"{step.kind.__name__}_of_{step.name}"),
    )
    def asset_function(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        deployment: DeploymentResource,
        devices: DeviceLocks,
        **upstream: StepDocument | None,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads this
        scope = _open_scope(step, context, deployment, devices, upstream)
        with closing(scope):
            document = run_step(step, scope, force=config.force or _force_by_tag(step, context))
            return _materialization(step, document, scope)

    return asset_function


@cache
def _code_version() -> str:
    """Return the version that Dagster shows for every step: the scripts as they were at loading."""
    return scripts_digest(str(SCRIPTS_ROOT))[:16]


def _open_scope(
    step: Step,
    context: dg.AssetExecutionContext,
    deployment: DeploymentResource,
    devices: DeviceLocks,
    upstream: Upstream,
) -> StepScope:
    vendor, model = split_release_key(context.partition_key)
    return StepScope(
        step=step.name,
        vendor=vendor,
        model=model,
        run_id=context.run.run_id,
        load_deployment=deployment.load,
        store=deployment.store(),
        upstream={name: upstream.get(name) for name in step.upstream},
        emit=context.log.info,
        scripts_root=Path(deployment.scripts_root) if deployment.scripts_root else SCRIPTS_ROOT,
        observed_version=_observed_version(context, model),
        lost_run=context.run.tags.get(LOST_RUN_TAG),
        root_run_id=context.run.root_run_id,
        hold_devices=devices.hold,
    )


def _external_dependencies(step: Step) -> list[dg.AssetDep]:
    """Return the external assets above a step: each has one of the two dimensions."""
    above = {
        MODEL_DIMENSION: MODEL_VERSION if step.reads_model_version else None,
        VENDOR_DIMENSION: STACK_RELEASE if step.reads_stack_release else None,
    }
    return [
        dg.AssetDep(key, partition_mapping=dg.MultiToSingleDimensionPartitionMapping(dimension))
        for dimension, key in above.items()
        if key
    ]


def _observed_version(context: dg.AssetExecutionContext, model: str) -> ObservedVersion | None:
    """Return what the discovery sensor saw last of this model, if anything."""
    records = context.instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=MODEL_VERSION, asset_partitions=[model]), limit=1
    ).records
    observation = records[0].asset_observation if records else None
    if observation is None or "revision" not in observation.metadata:
        return None
    seen = {name: str(observation.metadata[name].value) for name in OBSERVED if name in observation.metadata}
    return ObservedVersion(seen.get("source", ""), seen.get("requested_revision") or None, seen["revision"])


def _force_by_tag(step: Step, context: dg.AssetExecutionContext) -> bool:
    """Whether the run's tag asks to measure this step anew: `all`, or step names separated by commas."""
    wanted = context.run.tags.get(FORCE_TAG, "")
    return wanted == "all" or step.name in wanted.split(",")


def _check_spec(step: Step) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=step.blocking_check or STATUS_CHECK,
        asset=step.name,
        blocking=step.blocking_check is not None,
        partitions_def=release_partitions,
        description="Red on FAIL, a warning on PARTIAL, BLOCKED and a waived FAIL.",
    )


def _materialization(
    step: Step, document: StepDocument, scope: StepScope
) -> dg.MaterializeResult[StepDocument]:
    waived = _waived(step, document, scope)
    failed = document.status == Status.FAIL and not waived
    passed = document.status in (Status.PASS, Status.SKIPPED)
    return dg.MaterializeResult(
        value=document,
        metadata={
            **step_metadata(document, scope.store, scope.pages_url),
            **_published(step, document, scope),
        },
        data_version=dg.DataVersion(digest([document.fingerprint or document.run_id, document.status])),
        check_results=[
            dg.AssetCheckResult(
                check_name=step.blocking_check or STATUS_CHECK,
                passed=passed,
                severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
                description=document.reason,
                metadata={
                    "status": document.status.value,
                    "errors": len(document.errors),
                    **({"waived": waived} if waived else {}),
                },
            )
        ],
    )


def _waived(step: Step, document: StepDocument, scope: StepScope) -> str | None:
    """Return what accepts that a step failed, in words; a check that ends the run is never waived."""
    if document.status != Status.FAIL or step.blocking_check:
        return None
    try:
        waivers = scope.deployment.waivers
    except DeploymentError:
        return None
    finding = step_finding(step.name, document)
    return accepted(finding, waivers, scope.vendor, scope.model, utc_now().date())


def _published(step: Step, document: StepDocument, scope: StepScope) -> dict[str, Any]:
    """Publish a document; a page that cannot be made must not cost the document."""
    try:
        return step.publish(scope, document) if step.publish else {}
    except Exception as error:
        scope.log(traceback.format_exc())
        return {"not_published": scope.redactor.text(f"{type(error).__name__}: {error}")}
