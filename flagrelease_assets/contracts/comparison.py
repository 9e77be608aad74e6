"""What comparing the two runs says: the diff document, and the model-verify report with the stack to use."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import Document, ErrorRecord, PhaseStatus, Stack, StepDocument

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
