"""Models are observed: configured and discovered ones become partitions, each new version is recorded once.

Belongs here: the discovery sensor and its cursor.
Does not belong here: hub requests (`hubs`), what a new version starts (`releases.py`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from flagrelease_assets.assets.release.step import MODEL_VERSION
from flagrelease_assets.deployment import Deployment, DeploymentError, ModelEntry
from flagrelease_assets.partitions import model_partitions
from flagrelease_assets.resources import DeploymentResource

if TYPE_CHECKING:
    from flagrelease_assets.hubs.base import ModelVersionFacts

OBSERVATION_INTERVAL_S = 300
LOOKUP_DEADLINE_S = 50.0
"""A sensor's tick may take a minute."""

CURSOR_VERSION = 1


class SeenVersion(BaseModel):
    """What the last look at a model found, as far as the next look needs it."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    source: str
    requested: str | None = None
    revision: str
    data_version: str
    etag: str | None = None


class Cursor(BaseModel):
    """What the sensor remembers: the version of each model by its id."""

    model_config = ConfigDict(defer_build=True)

    version: int = CURSOR_VERSION
    models: dict[str, SeenVersion] = {}

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """Return a cursor; one that is absent, broken or of another version is an empty one."""
        try:
            found = cls.model_validate_json(text or "")
        except ValidationError:
            return cls()
        return found if found.version == CURSOR_VERSION else cls()

    def of(self, entry: ModelEntry) -> SeenVersion | None:
        """Return what was seen of a model, if it was asked for in the same way."""
        seen = self.models.get(entry.id)
        return seen if seen and (seen.source, seen.requested) == (entry.source, entry.revision) else None


@dg.sensor(
    name="model_versions",
    minimum_interval_seconds=OBSERVATION_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Looks at every configured and discovered model on its hub or in its folder, adds it as a partition, "
        "and records each new version. A test tick changes nothing and says what it would do."
    ),
)
def model_versions(
    context: dg.SensorEvaluationContext, deployment: DeploymentResource
) -> dg.SensorResult | dg.SkipReason:
    """Observe every model; a model whose source does not answer is deferred with the reason."""
    try:
        settings = deployment.load()
    except DeploymentError as error:
        return dg.SkipReason(str(error))
    discovered, problems = discovered_models(settings)
    entries = [*settings.models, *discovered]
    if not entries and not problems:
        return dg.SkipReason(f"no models are configured: add entries under `models:` in {deployment.file}")
    known = set(context.instance.get_dynamic_partitions(model_partitions.name or ""))
    new = [entry.key for entry in entries if entry.key not in known]
    cursor = Cursor.read(context.cursor)
    observations, seen, deferred = _look(settings, entries, cursor)
    for line in [*problems, *deferred, *(f"{key}: new partition" for key in new)]:
        context.log.info(line)
    said = f"looked at {len(entries)} models: {len(observations)} new versions, {len(deferred)} deferred"
    context.log.info(said)
    following = Cursor(models={entry.id: seen[entry.id] for entry in entries if entry.id in seen})
    return dg.SensorResult(
        skip_reason=None if observations or new else dg.SkipReason("; ".join([said, *problems, *deferred])),
        dynamic_partitions_requests=[model_partitions.build_add_request(new)] if new else [],
        asset_events=observations,
        cursor=following.model_dump_json(exclude_defaults=False),
    )


def discovered_models(settings: Deployment) -> tuple[list[ModelEntry], list[str]]:
    """Return the models that the rules find on their hubs and allow, and why a rule found none."""
    if not settings.discovery:
        return [], []
    from flagrelease_assets.hubs.listing import list_models_now
    from flagrelease_assets.hubs.problem import LookupProblem

    configured = {entry.key for entry in settings.models}
    found: dict[str, ModelEntry] = {}
    problems: list[str] = []
    for rule in settings.discovery:
        try:
            listed = list_models_now(
                organisation=rule.organisation,
                search=rule.search,
                limit=rule.limit,
                client_settings=settings.hubs,
                deadline_s=LOOKUP_DEADLINE_S / (2 * len(settings.discovery)),
            )
        except LookupProblem as problem:
            problems.append(f"discovery in {rule.organisation or rule.search}: deferred: {problem.reason}")
            continue
        for model_id in filter(rule.admits, listed):
            try:
                entry = rule.entry(model_id)
            except ValidationError:  # an id that cannot be a partition key
                problems.append(f"{model_id}: not taken, its id cannot be a partition key")
                continue
            if entry.key not in configured:
                found.setdefault(entry.key, entry)
    return list(found.values()), problems


def _look(
    settings: Deployment, entries: list[ModelEntry], cursor: Cursor
) -> tuple[list[dg.AssetObservation], dict[str, SeenVersion], list[str]]:
    """Return an observation for each new version, what was seen of each model, and what was deferred why."""
    from flagrelease_assets.hubs.base import Deferred
    from flagrelease_assets.hubs.lookup import look_up_all_now

    before = {entry.id: known for entry in entries if (known := cursor.of(entry))}
    results = look_up_all_now(
        [entry.reference for entry in entries],
        client_settings=settings.hubs,
        deadline_s=LOOKUP_DEADLINE_S / (2 if settings.discovery else 1),
        previous={model_id: _facts(model_id, known) for model_id, known in before.items()},
    )
    observations: list[dg.AssetObservation] = []
    seen: dict[str, SeenVersion] = dict(before)
    deferred: list[str] = []
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, Deferred):
            deferred.append(f"{entry.id}: deferred: {result.reason}")
            continue
        if result.renamed_to:
            deferred.append(f"{entry.id}: is called {result.renamed_to} on its hub by now; correct `id`")
        earlier = before.get(entry.id)
        seen[entry.id] = SeenVersion(
            source=entry.source,
            requested=entry.revision,
            revision=result.revision,
            data_version=result.data_version,
            etag=result.etag,
        )
        if earlier is None or earlier.data_version != result.data_version:
            observations.append(_observation(entry, result))
    return observations, seen, deferred


def _facts(model_id: str, seen: SeenVersion) -> "ModelVersionFacts":
    """Return earlier facts as a look-up wants them: enough to ask for changes only."""
    from flagrelease_assets.hubs.base import ModelSource, ModelVersionFacts

    return ModelVersionFacts(
        id=model_id,
        source=ModelSource(seen.source),
        revision=seen.revision,
        last_modified=None,
        files=(),
        total_bytes=0,
        config=None,
        data_version=seen.data_version,
        etag=seen.etag,
    )


def _observation(entry: ModelEntry, facts: "ModelVersionFacts") -> dg.AssetObservation:
    metadata: dict[str, Any] = {
        "model_id": entry.id,
        "source": entry.source,
        "revision": facts.revision,
        "requested_revision": entry.revision or "",
        "total_bytes": facts.total_bytes,
        "file_count": len(facts.files),
        "files": _files(facts),
    }
    if facts.last_modified:
        metadata["last_modified"] = facts.last_modified.isoformat()
    if facts.renamed_to:
        metadata["renamed_to"] = facts.renamed_to
    if facts.config:
        metadata |= _config(facts.config.model_dump(mode="json"))
    return dg.AssetObservation(
        MODEL_VERSION,
        partition=entry.key,
        metadata=metadata,
        tags={"dagster/data_version": facts.data_version},
    )


def _files(facts: "ModelVersionFacts") -> dg.TableMetadataValue:
    schema = dg.TableSchema(columns=[dg.TableColumn("name"), dg.TableColumn("bytes", type="int")])
    records = [dg.TableRecord({"name": file.name, "bytes": file.bytes}) for file in facts.files]
    return dg.MetadataValue.table(records=records, schema=schema)


def _config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a model's configuration, whole and the plain ones each by name."""
    plain = {
        f"config_{name}": value
        for name, value in facts.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }
    return {"config": dg.MetadataValue.json(dict(facts)), **plain}
