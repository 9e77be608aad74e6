"""`flagrelease.yaml` as a whole: its keys, its loading with environment overrides, its look-ups.

Belongs here: the file, and look-ups that answer a missing entry with the one line to add.
Does not belong here: a section (its own module).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from flagrelease_assets.catalog import Catalog, CatalogDataError, load_catalog, with_stack_releases
from flagrelease_assets.contracts.keys import model_id
from flagrelease_assets.deployment.checks import Checks
from flagrelease_assets.deployment.discovery import DiscoveryRule
from flagrelease_assets.deployment.models import ModelEntry
from flagrelease_assets.deployment.section import Section
from flagrelease_assets.deployment.waivers import EVERY_MODEL, Waiver
from flagrelease_assets.deployment.workers import DockerWorkerEntry, LocalWorkerEntry, WorkerEntry
from flagrelease_assets.hubs.settings import ClientSettings
from flagrelease_assets.strict_reading import (
    MAX_CONFIGURATION_BYTES,
    RefusedDocumentError,
    TooLargeError,
    parse_yaml,
    read_ordinary,
)

DEPLOYMENT_VARIABLE = "FLAGRELEASE_DEPLOYMENT"
DEFAULT_DEPLOYMENT_FILE = "flagrelease.yaml"


class DeploymentError(Exception):
    """The deployment file is missing, malformed or lacks an entry; the message says what to add where."""


class NetworkSettings(Section):
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
    checks: Checks = Checks()
    waivers: list[Waiver] = []
    hubs: ClientSettings = Field(ClientSettings(), description="How the model hubs are reached.")
    discovery: list[DiscoveryRule] = Field([], description="Models of a hub that need no entry of their own.")
    pages_url: str = Field(
        "http://127.0.0.1:3001", description="Where `flagrelease ui` serves reports, board and logs."
    )
    on_new_version: Literal["release", "observe"] = Field(
        "release", description="Whether a new model version is released on every vendor, or only noted."
    )
    on_new_stack_release: Literal["release", "stale"] = Field(
        "stale", description="Whether a new stack release is released with every model, or only noted."
    )
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

    @field_validator("waivers")
    @classmethod
    def _waived_models_are_known(cls, value: list[Waiver], info: ValidationInfo) -> list[Waiver]:
        models: list[ModelEntry] | None = info.data.get("models")
        known = [entry.key for entry in models or []]
        for waiver in value if models is not None else []:
            if waiver.model not in (EVERY_MODEL, *known):
                raise ValueError(f"unknown model {waiver.model!r}; models: {', '.join(known) or 'none'}")
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
            raise DeploymentError(self.no_worker(vendor))
        return self.workers[vendor]

    def no_worker(self, vendor: str) -> str:
        """Return what to do about a vendor that has no worker."""
        return (
            f"vendor {vendor!r} has no worker: add `workers.{vendor}: {{kind: docker, container: NAME}}` "
            f"to {self._file}"
        )

    def model(self, key: str) -> ModelEntry:
        """Return the model of a partition key; raises DeploymentError naming the entry to add."""
        for entry in self.models:
            if entry.key == key:
                return entry
        for rule in self.discovery:
            if rule.admits(model_id(key)):
                return rule.entry(model_id(key))
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
        content = parse_yaml(read_ordinary(path, MAX_CONFIGURATION_BYTES))
    except FileNotFoundError as error:
        raise DeploymentError(
            f"{path}: no such file; copy flagrelease.yaml from the project or set {DEPLOYMENT_VARIABLE}"
        ) from error
    except TooLargeError as error:
        raise DeploymentError(f"{path}: {error}; not a deployment file") from error
    except (OSError, RefusedDocumentError) as error:
        raise DeploymentError(f"{path}: not readable as YAML: {error}") from error
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
