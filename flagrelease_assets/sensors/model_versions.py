"""Models are observed: the deployment's models become partitions, and each one's version is recorded.

Belongs here: the discovery sensor. Does not belong here: hub requests (`hubs`), what a new version starts.
"""

import dagster as dg

from flagrelease_assets.assets.release.step import MODEL_VERSION
from flagrelease_assets.deployment import Deployment, DeploymentError
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
