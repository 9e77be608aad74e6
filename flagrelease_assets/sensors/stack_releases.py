"""A new stack release of a vendor is noticed: its models are stale, and released again if so configured.

Belongs here: the sensor on the stack releases that are in use.
Does not belong here: what a stack release is (the catalog), which one a vendor uses (`deployment`).
"""

import json
from typing import Any

import dagster as dg

from flagrelease_assets.assets.release.step import STACK_RELEASE
from flagrelease_assets.contracts.common import digest
from flagrelease_assets.deployment import Deployment, DeploymentError
from flagrelease_assets.jobs import release_job
from flagrelease_assets.partitions import model_partitions
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.sensors.releases import release_request

STACK_INTERVAL_S = 60
STACK_TAG = "flagrelease/stack_release"


@dg.sensor(
    name="stack_releases",
    job=release_job,
    minimum_interval_seconds=STACK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Records the stack release that each vendor uses. When another one is named, the vendor's results "
        "are stale, and `on_new_stack_release: release` releases its models again."
    ),
)
def stack_releases(
    context: dg.SensorEvaluationContext, deployment: DeploymentResource
) -> dg.SensorResult | dg.SkipReason:
    """Record what changed since the last tick, and request the releases that follow from it."""
    try:
        settings = deployment.load()
        used = {vendor: _used(settings, vendor) for vendor in settings.workers}
    except DeploymentError as error:
        return dg.SkipReason(str(error))
    before = _read(context.cursor)
    changed = {vendor: version for vendor, version in used.items() if before.get(vendor) != version}
    if not changed:
        return dg.SkipReason("every vendor uses the stack release that it used before")
    requests = [
        release_request(vendor, model, f"{model}:{vendor}:{version}", {STACK_TAG: name})
        for vendor, (name, version) in ((vendor, _split(text)) for vendor, text in changed.items())
        if settings.on_new_stack_release == "release" and vendor in before
        for model in context.instance.get_dynamic_partitions(model_partitions.name or "")
        if _is_known(settings, model)
    ]
    for vendor, text in changed.items():
        context.log.info(f"{vendor}: stack release {_split(text)[0]}, results of others are stale")
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[_observation(vendor, text) for vendor, text in changed.items()],
        cursor=json.dumps(used, sort_keys=True),
    )


def _used(settings: Deployment, vendor: str) -> str:
    """Return the stack release of a vendor with the digest of its plans: an edited entry is another one."""
    name = settings.workers[vendor].stack_release or settings.catalog.default_stack_release(vendor).id
    if name not in settings.catalog.stack_releases_for(vendor):
        raise DeploymentError(f"workers.{vendor}.stack_release: {name!r} is not one of the catalog's")
    plans = settings.catalog.plan_for(vendor, name)
    return f"{name}@{digest({str(key): plan.model_dump(mode='json') for key, plan in plans.items()})}"


def _split(text: str) -> tuple[str, str]:
    return text.rpartition("@")[0], text


def _is_known(settings: Deployment, model: str) -> bool:
    try:
        settings.model(model)
    except DeploymentError:
        return False
    return True


def _read(cursor: str | None) -> dict[str, Any]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _observation(vendor: str, text: str) -> dg.AssetObservation:
    return dg.AssetObservation(
        STACK_RELEASE,
        partition=vendor,
        metadata={"stack_release": _split(text)[0]},
        tags={"dagster/data_version": text},
    )
