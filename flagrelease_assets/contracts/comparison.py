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
from flagrelease_assets.contracts.operator_search import OperatorSearch, ReducedStack

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
    verdict: Literal["PASS", "FAIL", "OTHER"] = Field(
        description="Works as base does, fails as the full stack does, or fails otherwise: proves nothing."
    )
    reason: str | None = Field(None, description="Why it failed or disagrees with the base.")
    flags: dict[str, str | None] = {}
    seconds: float = 0.0


class ControlResult(Document):
    """The base run a second time: what of the difference is the base's own spread."""

    status: str
    phase: PhaseName = "offline"
    prompts: int | None = Field(None, description="Prompts that both base runs answered.")
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
    operator_search: OperatorSearch | None = Field(None, description="Where FlagGems is what fails.")
    further_search: OperatorSearch | None = Field(
        None,
        description="The search in the other phase, where the full stack without the first search's "
        "operators still failed.",
    )
    reduced_stack: ReducedStack | None = Field(None, description="The full stack without the guilty.")

    @property
    def searches(self) -> list[OperatorSearch]:
        """The searches for guilty operators, in order."""
        return [search for search in (self.operator_search, self.further_search) if search]

    @property
    def guilty_operators(self) -> list[str]:
        """Every operator that a search found guilty."""
        return [name for search in self.searches for name in search.names]

    def essence(self) -> dict[str, Any]:
        """Return what the recommendation depends on."""
        return {
            "conclusion": self.conclusion,
            "component": self.multichip_component,
            "recommended": self.recommended_stack,
            "detail": self.detail,
            **({"flags": self.reduced_stack.flags} if self.reduced_stack else {}),
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
    operators_off: list[str] = Field([], description="Operators that the reduced stack leaves out.")
    reduced_flags: dict[str, str | None] = Field({}, description="Variables of the reduced stack.")
    why: str = ""
    run_a_without_multichip: RunSummary = RunSummary()
    run_b_with_multichip: RunSummary = RunSummary()
    diff_analysis: DiffSummary | None = None

    def essence(self) -> dict[str, Any]:
        """Return what a benchmark depends on."""
        reduced = {"flags": self.reduced_flags} if self.reduced_flags else {}
        return {"recommended": self.recommended_stack, **reduced}
