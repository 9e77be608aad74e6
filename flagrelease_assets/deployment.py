"""`flagrelease.yaml`: which workers and models this installation has, and where results go.

Belongs here: the deployment file's shape, its loading with environment overrides, and look-ups that
answer a missing entry with the one line to add.
Does not belong here: what is true of a vendor or stack release everywhere (the catalog).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from flagrelease_assets.catalog import Catalog, CatalogDataError, load_catalog, with_stack_releases
from flagrelease_assets.contracts.keys import model_id, model_key
from flagrelease_assets.hubs.base import ModelReference, ModelSource
from flagrelease_assets.redaction import looks_secret
from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig

DEPLOYMENT_VARIABLE = "FLAGRELEASE_DEPLOYMENT"
DEFAULT_DEPLOYMENT_FILE = "flagrelease.yaml"
MAX_DEPLOYMENT_BYTES = 1_000_000


class DeploymentError(Exception):
    """The deployment file is missing, malformed or lacks an entry; the message says what to add where."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class ModelEntry(_Section):
    """One model that can be released."""

    id: str = Field(description="Hub id `org/name`, or a plain name for a folder.")
    source: Literal["huggingface", "modelscope", "folder"] = "huggingface"
    path: str | None = Field(None, description="Folder in the worker, for source `folder`.")
    revision: str | None = Field(None, description="Commit, tag or branch; the hub's newest if absent.")
    dtype: str = Field("auto", description="As vLLM's --dtype.")
    tensor_parallel_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    max_model_len: int | None = Field(None, ge=16, description="Context length in tokens to serve with.")
    vllm_args: list[str] = Field([], description="Extra `vllm serve` arguments, one list item each.")
    trust_remote_code: bool = False
    coherent: bool = Field(True, description="False for random weights: degenerate text is not judged.")

    @field_validator("id")
    @classmethod
    def _id_makes_a_key(cls, value: str) -> str:
        model_key(value)
        return value

    @model_validator(mode="after")
    def _names_a_source(self) -> Self:
        _ = self.reference
        return self

    @property
    def key(self) -> str:
        """The model's partition key."""
        return model_key(self.id)

    @property
    def reference(self) -> ModelReference:
        """The model as a hub or folder look-up names it; raises ValueError if the source does not fit."""
        return ModelReference(
            id=self.id, source=ModelSource(self.source), revision=self.revision, path=self.path
        )


class ReleaseSettings(_Section):
    """How releases run on a worker, beside how it is reached."""

    stack_release: str | None = Field(None, description="Catalog id; the vendor's default if absent.")
    smoke_model: ModelEntry | None = Field(None, description="Replaces the vendor's smoke model.")
    model_root: str = Field("/data/models", description="Where hub models are downloaded in the worker.")
    minimum_free_gb: float = Field(10.0, gt=0, description="Free disk in GB that an install needs.")
    environment: dict[str, str] = Field({}, description="Extra variables for every model run.")
    serve_args: list[str] = Field([], description="Extra `vllm serve` arguments for every model.")
    benchmark_repeats: int = Field(1, ge=1, le=20, description="Measurements of each benchmark profile.")
    pip_args: list[str] = Field([], description="Extra `pip install` arguments.")
    deadlines: dict[str, float] = Field({}, description="Seconds; overrides the catalog's vendor timeouts.")

    @field_validator("environment")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        for name in filter(looks_secret, value):
            raise ValueError(
                f"{name} would be stored with every result: put {name} into `secrets` and set it on the host"
            )
        return value


class DockerWorkerEntry(DockerWorkerConfig, ReleaseSettings):
    """A named, running container."""


class LocalWorkerEntry(LocalWorkerConfig, ReleaseSettings):
    """An interpreter on this host."""


WorkerEntry = Annotated[DockerWorkerEntry | LocalWorkerEntry, Field(discriminator="kind")]


class NetworkSettings(_Section):
    """Mirrors to fall back on when a direct connection fails."""

    github_mirror: str | None = Field(None, description="URL prefix put before `/owner/repo`.")
    pypi_mirror: str | None = Field(None, description="Simple index URL.")


class Deployment(BaseSettings):
    """The deployment file, with `FLAGRELEASE_<KEY>__<KEY>` environment variables laid over it."""

    model_config = SettingsConfigDict(
        extra="forbid", defer_build=True, env_prefix="FLAGRELEASE_", env_nested_delimiter="__", frozen=True
    )

    results: str = Field(".flagrelease/results", description="Folder or fsspec URL for every result.")
    workers: dict[str, WorkerEntry] = {}
    models: list[ModelEntry] = []
    stack_releases: list[str] = Field(
        [], description="Files of stack releases that the catalog does not have, relative to this file."
    )
    network: NetworkSettings = NetworkSettings()
    secrets: list[str] = Field(
        ["HF_TOKEN", "MODELSCOPE_API_TOKEN"], description="Host variables passed on to workers, redacted."
    )

    _file: Path = PrivateAttr(default_factory=lambda: deployment_path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file (which arrives as init settings)."""
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(init_settings, InitSettingsSource)
        return env_settings, init_settings

    @field_validator("workers", mode="before")
    @classmethod
    def _known_vendors(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        workers: dict[str, Any] = {}
        for name, entry in value.items():
            vendor = load_catalog().resolve_vendor(str(name))
            if vendor in workers:
                raise ValueError(f"{vendor} has two workers, one of them as {name!r}: keep one")
            workers[vendor] = entry
        return workers

    @field_validator("models")
    @classmethod
    def _keys_are_unique(cls, value: list[ModelEntry]) -> list[ModelEntry]:
        seen: dict[str, str] = {}
        for entry in value:
            if entry.key in seen:
                raise ValueError(f"models {seen[entry.key]!r} and {entry.id!r} have the same key {entry.key}")
            seen[entry.key] = entry.id
        return value

    @property
    def secret_values(self) -> dict[str, str]:
        """The variables of `secrets` that are set on this host: name to value."""
        return {name: os.environ[name] for name in self.secrets if os.environ.get(name)}

    @property
    def catalog(self) -> Catalog:
        """The catalog with this deployment's own stack releases; raises CatalogDataError."""
        return with_stack_releases(load_catalog(), map(Path, self.stack_releases))

    def worker(self, vendor: str) -> DockerWorkerEntry | LocalWorkerEntry:
        """Return the worker of a vendor; raises DeploymentError naming the key to add."""
        if vendor not in self.workers:
            raise DeploymentError(
                f"vendor {vendor!r} has no worker: add `workers.{vendor}: {{kind: docker, container: NAME}}` "
                f"to {self._file}"
            )
        return self.workers[vendor]

    def model(self, key: str) -> ModelEntry:
        """Return the model of a partition key; raises DeploymentError naming the entry to add."""
        for entry in self.models:
            if entry.key == key:
                return entry
        raise DeploymentError(
            f"model {key!r} has no entry: add `- id: {model_id(key)}` under `models:` in {self._file}"
        )


def deployment_path() -> Path:
    """Return the deployment file in use: $FLAGRELEASE_DEPLOYMENT, or flagrelease.yaml in this folder."""
    return Path(os.environ.get(DEPLOYMENT_VARIABLE) or DEFAULT_DEPLOYMENT_FILE).absolute()


def load_deployment(path: Path | None = None) -> Deployment:
    """Read and validate the deployment file.

    Relative locations are taken from the file's folder, so that every process agrees on them.
    Raises DeploymentError with the file, key and reason.
    """
    path = path or deployment_path()
    content = _read_mapping(path)
    try:
        deployment = Deployment(**content)
        deployment._file = path
    except ValidationError as error:
        raise DeploymentError(_explain(path, error)) from error
    except SettingsError as error:
        raise DeploymentError(f"{path} with environment variables FLAGRELEASE_…: {error}") from error
    absolute: dict[str, Any] = {
        "stack_releases": [str((path.parent / file).resolve()) for file in deployment.stack_releases]
    }
    if "://" not in deployment.results:
        absolute["results"] = str((path.parent / deployment.results).resolve())
    deployment = deployment.model_copy(update=absolute)
    try:
        _ = deployment.catalog
    except CatalogDataError as error:
        raise DeploymentError(f"{path}: stack_releases: {error}") from error
    return deployment


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_DEPLOYMENT_BYTES:
            raise DeploymentError(f"{path}: larger than {MAX_DEPLOYMENT_BYTES} bytes; not a deployment file")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DeploymentError(
            f"{path}: no such file; copy flagrelease.yaml from the project or set {DEPLOYMENT_VARIABLE}"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DeploymentError(f"{path}: not readable as YAML: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise DeploymentError(f"{path}: expected keys such as `workers:` and `models:` at the top")
    return {str(key): value for key, value in content.items()}


def _explain(path: Path, error: ValidationError) -> str:
    findings = []
    for item in error.errors():
        parts = item["loc"]
        if parts[:1] == ("workers",):
            parts = (*parts[:2], *parts[3:])  # after the vendor comes the worker's kind, which is no key
        key = ".".join(map(str, parts)) or "(top)"
        reason = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        findings.append(f"{key}: {reason.removeprefix('Value error, ')}")
    return f"{path}: " + "; ".join(findings)
