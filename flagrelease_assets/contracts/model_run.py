"""What running a model leaves behind: one phase (offline or serve), and the runs made of phases."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import (
    Document,
    JobResult,
    PhaseName,
    PhaseStatus,
    Stack,
    Status,
    StepDocument,
)


class PhaseDocument(JobResult):
    """The document of `run_offline_inference` or `test_serve_mode`."""

    phase: str | None = None
    stage_reached: str | None = None
    stack_requested: dict[str, Any] = {}
    stack_observed: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []
    requests: list[dict[str, Any]] = []
    checks: dict[str, Any] = {}
    timings_s: dict[str, float | None] = {}
    startup_s: float | None = None
    category: str | None = Field(None, description="Such as `false_ready`, if the program could name it.")
    effective_config: dict[str, Any] = Field({}, description="What the server reported to run with.")

    @property
    def phase_status(self) -> PhaseStatus:
        """The seed's word for this phase: a timeout is a failure."""
        return "PASS" if self.status == "PASS" else "FAIL"

    @property
    def execution(self) -> str | None:
        """How the model was executed (eager, compiled, graphs), None if the engine did not say."""
        mode = self.effective_config.get("execution")
        return mode if isinstance(mode, str) else None

    @property
    def sample(self) -> str | None:
        """The first text that the model produced, for a reader."""
        for item in [*self.outputs, *self.requests]:
            if item.get("text"):
                return str(item["text"]).strip()
        return None


class BaseAttempt(Document):
    """One way to have a base on this chip, tried with the smoke model."""

    variant: str
    plugins: str = Field(description="VLLM_PLUGINS of the attempt.")
    status: PhaseStatus
    reason: str | None = None


class EnvVerification(StepDocument):
    """The result of the smoke test with a small model and without the multi-chip packages."""

    step: Literal["env_verification"] = "env_verification"
    stage: Literal["env-verify"] = "env-verify"
    smoke_model: str = ""
    phase_a: PhaseStatus = "SKIPPED"
    phase_b: PhaseStatus = "SKIPPED"
    fatal: bool = Field(False, description="A fatal error stops the release; others are recorded.")
    base_variant: Literal["no_plugin", "vendor_plugin", "fl_without_flaggems"] = "no_plugin"
    vendor_plugin: str | None = Field(None, description="The vendor's own platform plugin, if base needs it.")
    base_attempts: list[BaseAttempt] = []
    environment: dict[str, str] = Field({}, description="Variables that the smoke test set.")
    phase_a_offline: PhaseDocument | None = None
    phase_b_serve: PhaseDocument | None = None

    def essence(self) -> dict[str, Any]:
        """Return what runs depend on: which base works here, and whether anything is fatally wrong."""
        return {"base": self.base_variant, "plugin": self.vendor_plugin, "fatal": self.fatal}


class ModelRun(StepDocument):
    """The result of running the target model on one stack (Run A: base, Run B: full)."""

    step: Literal["run_a_result", "run_b_result"]
    stack: Stack
    tensor_parallel_size: int = 1
    flags: dict[str, str | None] = Field({}, description="Stack variables; null means absent, not empty.")
    environment: dict[str, str] = Field({}, description="Every variable that the run set, stack and vendor.")
    model_path: str = ""
    phase_a_offline: PhaseDocument | None = None
    phase_b_serve: PhaseDocument | None = None
    output_sample: str | None = None
    stack_evidence: dict[str, Any] = Field({}, description="What proves which stack really ran.")

    def essence(self) -> dict[str, Any]:
        """Return what a comparison depends on: this measurement, or why there is none."""
        if self.status == Status.PASS:
            return super().essence()
        return {"reason": self.reason, "flags": self.flags}

    @property
    def execution(self) -> str | None:
        """How the model was executed (eager, compiled, graphs), None if no phase says."""
        phases = [phase for phase in (self.phase_a_offline, self.phase_b_serve) if phase]
        return next((phase.execution for phase in phases if phase.execution), None)

    def phase(self, name: PhaseName) -> PhaseDocument | None:
        """The document of a phase, if it left one."""
        return self.phase_a_offline if name == "offline" else self.phase_b_serve

    def phase_word(self, phase: PhaseDocument | None) -> PhaseStatus:
        """The seed's word for a phase of this run."""
        return phase.phase_status if phase else "SKIPPED"
