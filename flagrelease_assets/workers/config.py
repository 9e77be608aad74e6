"""What a deployment says of a worker.

Belongs here: the configuration models of every kind of worker, and their validation.
Does not belong here: connecting to anything.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from flagrelease_assets.catalog.base import Seconds

_ENGINE_SCHEMES = ("unix://", "ssh://", "tcp://")


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class TlsConfig(_Config):
    """Files for a TLS connection to a Docker engine; the engine's certificate is always verified."""

    ca_cert: Path | None = Field(None, description="CA certificate; without it the system's CAs are used")
    client_cert: Path | None = Field(None, description="client certificate, together with client_key")
    client_key: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key belong together: give both or neither")
        return self


class WorkerTimeouts(_Config):
    """How long single operations on a worker may take, in seconds; none can be switched off."""

    connect_s: Seconds = Field(30, description="reach the engine and look the container up")
    command_s: Seconds = Field(60, description="one short command, such as a poll")
    copy_s: Seconds = Field(120, description="move files in or out")
    reconnect_s: Seconds = Field(300, description="go on trying to reach a worker that has a job running")
    busy_s: Seconds = Field(600, description="wait for devices that another release holds")


class _WorkerConfig(_Config):
    """What every kind of worker says."""

    work_root: str = "/tmp/flagrelease"
    lock_root: str = Field(
        "/tmp/flagrelease-locks",
        description="records of who holds which devices; the same folder for everyone who uses the worker",
    )
    timeouts: WorkerTimeouts = WorkerTimeouts()

    @field_validator("work_root", "lock_root")
    @classmethod
    def _absolute(cls, folder: str, info: ValidationInfo) -> str:
        parts = folder.split("/")
        if not folder.startswith("/") or ".." in parts or len([part for part in parts if part]) < 1:
            raise ValueError(f"{info.field_name} is an absolute path below / without ..")
        return folder.rstrip("/")


class DockerWorkerConfig(_WorkerConfig):
    """An already running container on a Docker engine."""

    kind: Literal["docker"] = "docker"
    container: str = Field(min_length=1, description="name or id of the running container")
    engine: str | None = Field(
        None,
        description="unix://, ssh:// or tcp:// address; without it what DOCKER_HOST says, or the local one",
    )
    tls: TlsConfig | None = None
    python: str = Field("python3", min_length=1, description="the interpreter that has the stack")

    @field_validator("engine")
    @classmethod
    def _known_scheme(cls, engine: str | None) -> str | None:
        if engine is not None and not engine.startswith(_ENGINE_SCHEMES):
            raise ValueError(f"an engine address starts with one of {', '.join(_ENGINE_SCHEMES)}")
        return engine

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        over_tcp = self.engine is not None and self.engine.startswith("tcp://")
        if over_tcp and self.tls is None:
            raise ValueError("a tcp:// engine needs tls: whoever reaches it unencrypted owns the machine")
        if self.tls is not None and not over_tcp:
            raise ValueError("tls belongs to a tcp:// engine")
        return self


class LocalWorkerConfig(_WorkerConfig):
    """An interpreter on this machine."""

    kind: Literal["local"] = "local"
    python: str = Field(sys.executable, min_length=1, description="the interpreter that has the stack")


WorkerConfig = Annotated[DockerWorkerConfig | LocalWorkerConfig, Field(discriminator="kind")]
