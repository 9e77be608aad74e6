"""Words that every document uses: status, layer, component, error record, provenance of a step.

Belongs here: enumerations and models shared by several step documents.
Does not belong here: what one step alone says (its own file), judgement, Dagster.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from flagrelease_assets.contracts.worker import WorkerIdentity

SCHEMA_VERSION = 1

PhaseName = Literal["offline", "serve"]
IN_PHASE: dict[PhaseName, str] = {"offline": "offline", "serve": "when serving"}
"""Each phase as a sentence says that something happens in it."""
PhaseStatus = Literal["PASS", "FAIL", "SKIPPED"]
JobStatus = Literal["PASS", "PARTIAL", "FAIL", "SKIPPED", "TIMEOUT"]
Layer = Literal["0", "1", "2", "3", "4", "X"]
Component = Literal[
    "FlagGems",
    "FlagTree",
    "FlagCX",
    "vllm-plugin-FL",
    "vLLM",
    "torch",
    "memory",
    "network",
    "model",
    "user",
    "unknown",
]


class Status(StrEnum):
    """How a step ended. SKIPPED: not applicable, with the reason. BLOCKED: a gate above stopped it."""

    PASS = "PASS"
    PARTIAL = "PARTIAL"
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"
    BLOCKED = "BLOCKED"


class Stack(StrEnum):
    """Which software serves the model.

    With the multi-chip packages, with them but without operators found guilty, without them, or none at all.
    """

    FULL = "full"
    REDUCED = "reduced"
    BASE = "base"
    NONE = "none"


class Document(BaseModel):
    """A part of a stored document; unknown keys are refused so that a typo is never a silent loss."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Evidence(Document):
    """One line that proves a finding."""

    source: str = Field(description="Log or field that the line was read from.")
    line: int = Field(description="Line number in the source, from 1; 0 when it has no lines.")
    text: str


class ErrorRecord(Document):
    """One located failure: where in the pipeline, in which layer, through which component, why."""

    step: str = Field(description="Asset in which it was found.")
    phase: str | None = Field(None, description="`offline`, `serve`, or the job within the step.")
    layer: Layer = Field(
        description="0 device/driver, 1 python/torch, 2 engine, 3 model/serving, 4 multi-chip, X harness."
    )
    component: Component
    category: str
    cause: str = Field(description="One line; for user errors it says what to do.")
    evidence: list[Evidence] = []
    fatal: bool = False
    retryable: bool = False
    ts: str = Field(default_factory=lambda: utc_now().isoformat(timespec="seconds"))


class DeviceTraces(Document):
    """The memory of a run's devices around one job, in MiB by device index."""

    before_mb: dict[str, int] = {}
    after_mb: dict[str, int] = {}
    freed: bool | None = Field(None, description="Whether it was back at its earlier level; null if unknown.")
    waited_s: float = 0.0
    reason: str | None = Field(None, description="Why it is unknown, or what was not freed.")


class JobRecord(Document):
    """One supervised program of a step: how it ended and where its log is kept."""

    name: str
    program: str
    attempt: int = Field(
        1, description="Number of the attempt; a later one follows a failure of the harness."
    )
    ended_by: str = Field(description="exited, deadline, idle, cancelled, lease, lost or spawn_failed.")
    exit_code: int | None = None
    signal: int | None = None
    duration_s: float
    deadline_s: float
    error: str | None = Field(None, description="Why it did not pass, in one line.")
    devices: DeviceTraces | None = Field(
        None, description="Device memory around it, for a job that uses any."
    )
    logs: list[str] = Field([], description="Complete logs of it and its server, relative to the results.")


class StepDocument(Document):
    """What every step stores beside its own findings."""

    schema_version: int = SCHEMA_VERSION
    step: str
    status: Status
    vendor: str
    model: str
    run_id: str
    created_at: datetime = Field(description="When this result was measured (UTC).")
    duration_s: float = 0.0
    reason: str | None = Field(None, description="Why the status is what it is, in one line.")
    blocked_by: list[str] = Field([], description="Steps that closed the gate, for BLOCKED.")
    missing_upstream: list[str] = Field(
        [], description="Steps above that were missing or stale when this one was asked for without them."
    )
    errors: list[ErrorRecord] = []
    worker: WorkerIdentity | None = None
    jobs: list[JobRecord] = []
    housekeeping: list[str] = Field([], description="What was waited for or cleaned up in the worker before.")
    fingerprint: str = Field("", description="Digest of everything this result depends on.")
    fingerprint_inputs: dict[str, str] = Field({}, description="What went into the fingerprint, by name.")
    reused_from_run: str | None = Field(None, description="Run that measured this, when reused.")

    @field_validator("schema_version")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value > SCHEMA_VERSION:
            raise ValueError(
                f"written by a newer flagrelease (version {value}, this one reads up to {SCHEMA_VERSION})"
            )
        return value

    @property
    def usable(self) -> bool:
        """Whether steps below may build on this result."""
        return self.status in (Status.PASS, Status.PARTIAL, Status.SKIPPED)

    @property
    def measured_by_run(self) -> str:
        """The run whose measurement this is, looking through reuse."""
        return self.reused_from_run or self.run_id

    def essence(self) -> dict[str, Any]:
        """Return what the steps below depend on: by default, this very measurement."""
        return {"measured by": self.measured_by_run}

    @property
    def digest(self) -> str:
        """Digest of this result as the steps below see it; equal digests may be exchanged for each other."""
        return digest([self.fingerprint, self.status, self.essence()])


class UnreadableResult(StepDocument):
    """Stands for a step whose stored result cannot be read; its error says which file and why."""


class JobResult(BaseModel):
    """A document written by a program in a worker: known keys typed, newer keys kept."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    status: JobStatus
    reason: str | None = None
    problem: str | None = Field(None, description="Category of the failure, if the program could name it.")
    error: str | None = None
    traceback: str | None = None
    duration_s: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """Read a null as an absent key: programs write null for what they did not get to see."""
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None}
        return value


NonNegative = Annotated[float, Field(ge=0)]


_UPSTREAM = "upstream "


def upstream_input(step: str) -> str:
    """Return the name under which a fingerprint's inputs hold the digest of an upstream step."""
    return f"{_UPSTREAM}{step}"


def upstream_names(inputs: Mapping[str, str]) -> list[str]:
    """Return the upstream steps whose digests are among a fingerprint's inputs."""
    return [name.removeprefix(_UPSTREAM) for name in inputs if name.startswith(_UPSTREAM)]


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def digest(value: Mapping[str, Any] | list[Any] | str | JsonValue) -> str:
    """Return a short stable digest (16 hex digits of SHA-256) of any JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
