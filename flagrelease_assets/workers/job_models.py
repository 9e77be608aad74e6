"""What a job is asked to do, and what became of it.

Belongs here: the documents of jobs, mirrors of what container_scripts/supervise.py reads and writes.
Does not belong here: running a job, and judging its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PathPart = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$")]
ProgramName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]

EndReason = Literal["exited", "deadline", "idle", "cancelled", "lease", "lost", "spawn_failed"]
ResultProblem = Literal["missing", "truncated", "not_json", "wrong_run", "too_large"]

LEASE_S = 900.0
"""How long a worker goes on, in seconds, without hearing from the host: for a job, and for a device lock."""

JOB_DIR_PLACEHOLDER = "{job_dir}"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class JobSpec(_Document):
    """One run of one program of container_scripts in a worker; all times in seconds.

    In ``arguments``, ``{job_dir}`` stands for the job's directory, where ``inputs`` lie under their
    names. ``secret_env`` reaches the program's environment without touching a disk, and its values
    are redacted in everything that comes back.
    """

    run_id: PathPart
    step: PathPart
    name: PathPart
    program: ProgramName
    arguments: tuple[str, ...] = ()
    env: dict[str, str] = {}
    env_unset: tuple[str, ...] = ()
    secret_env: dict[str, str] = Field(default={}, repr=False)
    inputs: dict[PathPart, str] = {}
    activity_paths: tuple[str, ...] = ()
    deadline_s: float = Field(gt=0, allow_inf_nan=False)
    idle_s: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="end the job after so long without log, CPU time or file changes",
    )
    grace_s: float = Field(10, ge=0, allow_inf_nan=False, description="from TERM to KILL")
    lease_s: float = Field(
        LEASE_S,
        gt=0,
        allow_inf_nan=False,
        description="end the job if no host has asked for it for so long",
    )
    lock: str | None = Field(None, description="record of the device lock that polls renew with the lease")
    result_limit_bytes: int = Field(64 << 20, gt=0)


class TerminatedProcess(_Document):
    """A process that the supervisor ended, and the last signal it needed."""

    pid: int
    name: str
    signal: Literal["TERM", "KILL"]


class SurvivingProcess(_Document):
    """A process of the job that could not be ended."""

    pid: int
    name: str


class ExitRecord(_Document):
    """How a job ended: exit.json."""

    reason: EndReason
    code: int | None
    signal: int | None
    duration_s: float | None
    terminated: tuple[TerminatedProcess, ...]
    survivors: tuple[SurvivingProcess, ...]
    finished_at: str
    error: str | None


class PollAnswer(_Document):
    """What ``supervise.py poll`` prints."""

    state: Literal["starting", "running", "finished", "lost"]
    offset: int
    chunk_b64: str
    log_size: int
    exit: ExitRecord | None


class JobHandle(_Document):
    """All that is needed to find a running job again, from any process; holds no secret."""

    name: str
    program: str
    job_dir: str
    scripts_dir: str
    run_token: str
    deadline_s: float
    grace_s: float
    result_limit_bytes: int


class JobOutcome(_Document):
    """What became of a job: how it ended, its result document or what is wrong with it, its last lines."""

    name: str
    program: str
    job_dir: str
    run_token: str
    exit: ExitRecord
    result: Mapping[str, Any] | None
    result_problem: ResultProblem | None
    result_detail: str | None
    log_lines: int
    log_tail: tuple[str, ...]
    reconnects: int

    @property
    def completed(self) -> bool:
        """The program ended by itself and left a whole result of this very run."""
        return self.exit.reason == "exited" and self.result_problem is None
