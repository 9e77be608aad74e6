"""What comparing the two runs says: the diff document, and the model-verify report with the stack to use."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import (
    Document,
    ErrorRecord,
    PhaseName,
    PhaseStatus,
    Stack,
    StepDocument,
)

Conclusion = Literal[
    "BOTH_PASS",
    "MULTICHIP_ERROR",
    "SAME_ERROR",
    "DIFFERENT_ERRORS",
    "OUTPUT_DIVERGENCE",
    "STACK_NOT_ACTIVE",
    "UNEXPECTED",
    "SKIPPED",
    "MISSING_RESULT",
]


class ArmResult(Document):
    """One part of the full stack, run alone to find the component at fault."""

    arm: str = Field(description="The components that were on, as people read it.")
    components: list[str]
    phase: PhaseName
    verdict: Literal["PASS", "FAIL"]
    reason: str | None = Field(None, description="Why it failed or disagrees with the base.")
    flags: dict[str, str | None] = {}
    seconds: float = 0.0


class ControlResult(Document):
    """The base run a second time: what of the difference is the base's own spread."""

    status: str
    unstable_prompts: list[str] = Field([], description="Prompts on which base disagrees with itself.")
    reason: str | None = None


class DiffAnalysis(StepDocument):
    """Run A against Run B: what differs, through which component, and how far the outputs agree."""

    step: Literal["diff_analysis"] = "diff_analysis"
    conclusion: Conclusion = "MISSING_RESULT"
    detail: str = ""
    recommended_stack: Stack = Stack.NONE
    run_a_status: str | None = None
    run_b_status: str | None = None
    run_a_error: str | None = None
    run_b_error: str | None = None
    multichip_component: str | None = None
    reasons: list[str] = []
    agreement: dict[str, Any] | None = Field(None, description="Output comparison, prompt by prompt.")
    control: ControlResult | None = Field(None, description="Base against base, when outputs diverge.")
    arms: list[ArmResult] = Field([], description="Parts of the full stack that were run to find the fault.")
    log_component: str | None = Field(None, description="What the logs alone say, beside the arms.")

    def essence(self) -> dict[str, Any]:
        """Return what the recommendation depends on."""
        return {
            "conclusion": self.conclusion,
            "component": self.multichip_component,
            "recommended": self.recommended_stack,
            "detail": self.detail,
        }


class RunSummary(Document):
    """One run as the model-verify report shows it."""

    flags: dict[str, str | None] = {}
    skipped: bool = False
    phase_a_offline: PhaseStatus = "SKIPPED"
    phase_b_serve: PhaseStatus = "SKIPPED"
    output_sample: str | None = None
    errors: list[ErrorRecord] = []


class DiffSummary(Document):
    """The diff as the model-verify report shows it."""

    conclusion: Conclusion
    detail: str
    multichip_component: str | None = None
    recommended_stack: Stack


class RecommendedStack(StepDocument):
    """The model-verify report: which stack to release with, and why."""

    step: Literal["recommended_stack"] = "recommended_stack"
    stage: Literal["model-verify"] = "model-verify"
    model_path: str = ""
    tensor_parallel_size: int = 1
    recommended_stack: Stack = Stack.NONE
    why: str = ""
    run_a_without_multichip: RunSummary = RunSummary()
    run_b_with_multichip: RunSummary = RunSummary()
    diff_analysis: DiffSummary | None = None

    def essence(self) -> dict[str, Any]:
        """Return what a benchmark depends on."""
        return {"recommended": self.recommended_stack}
