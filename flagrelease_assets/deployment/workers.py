"""`workers:`, how a vendor's worker is reached and how releases run on it.

Belongs here: one worker's entry. Does not belong here: connecting (`flagrelease_assets/workers`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from flagrelease_assets.catalog.base import Seconds
from flagrelease_assets.deployment.models import ModelEntry
from flagrelease_assets.deployment.remote_code import refuse_trust_in
from flagrelease_assets.deployment.section import Section
from flagrelease_assets.redaction import looks_secret
from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig


class OperatorSearchSettings(Section):
    """The search for the operators that make a full stack fail: whether, how far, how fast."""

    enabled: bool = True
    most_starts: int = Field(40, ge=3, le=500, description="Engine starts at most.")
    at_once: int = Field(1, ge=1, le=64, description="Engines at the same time; each needs its own memory.")
    total: Seconds = Field(7200.0, description="Seconds that one whole search may take.")
    vllm_args: list[str] = Field(
        [], description="Further engine arguments of its engines, such as a share of the memory."
    )


class ReleaseSettings(Section):
    """How releases run on a worker, beside how it is reached."""

    stack_release: str | None = Field(None, description="Catalog id; the vendor's default if absent.")
    wheelhouse: str | None = Field(
        None, pattern=r"^/", description="Folder of wheels in the worker; it replaces every package index."
    )
    smoke_model: ModelEntry | None = Field(None, description="Replaces the vendor's smoke model.")
    model_root: str = Field("/data/models", description="Where hub models are downloaded in the worker.")
    minimum_free_gb: float = Field(10.0, gt=0, description="Free disk in GB that an install needs.")
    environment: dict[str, str] = Field(
        {}, description="Extra variables of model runs and of the vendor's tools."
    )
    serve_args: list[str] = Field([], description="Extra `vllm serve` arguments for every model.")
    benchmark_repeats: int = Field(1, ge=1, le=20, description="Measurements of each benchmark profile.")
    pip_args: list[str] = Field([], description="Extra `pip install` arguments.")
    deadlines: dict[str, Seconds] = Field({}, description="Seconds; overrides the catalog's vendor timeouts.")
    operator_search: OperatorSearchSettings = OperatorSearchSettings()
    retries: int = Field(1, ge=0, le=3, description="Further attempts at a job that the harness failed.")

    @field_validator("serve_args")
    @classmethod
    def _trusts_no_code(cls, value: list[str]) -> list[str]:
        refuse_trust_in(value)
        return value

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
