"""What `release_report` stores: the final report of a release, and the board's cells made of reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.checks import CheckOutcome, WaivedFinding
from flagrelease_assets.contracts.common import Document, Stack, Status, StepDocument


class InstallSummary(Document):
    """The install step in the final report."""

    status: Status
    packages: dict[str, dict[str, str | None]] = {}


class EnvSummary(Document):
    """The environment step in the final report."""

    status: Status
    phase_a: str = "SKIPPED"
    phase_b: str = "SKIPPED"


class ModelVerifySummary(Document):
    """The model-verify steps in the final report."""

    status: Status
    run_a: Status
    run_b: Status
    recommended_stack: Stack = Stack.NONE


class PerfSummary(Document):
    """The benchmark step in the final report."""

    status: Status
    profiles_passed: str = "0/0"
    summary_table: str = ""


class ReportSteps(Document):
    """The four stages of the final report."""

    install_stack: InstallSummary
    env_verify: EnvSummary
    model_verify: ModelVerifySummary
    perf_test: PerfSummary


class StepLine(Document):
    """One step in the report's own table of everything that happened."""

    step: str
    status: Status | Literal["MISSING"]
    reason: str | None = None
    duration_s: float = 0.0
    reused_from_run: str | None = None
    blocked_by: list[str] = []


class InputChange(Document):
    """One thing that two results were measured on and that differs between them."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return the change as people say it."""
        return f"{self.name} from {self.before} to {self.after}"


class LastGood(Document):
    """The last good release of the same vendor and model, and what changed since."""

    run_id: str
    created_at: datetime
    verdict: Status
    recommended_stack: str
    stack_release: str | None = None
    image: str | None = None
    model_revision: str | None = None
    packages: dict[str, str] = {}
    inputs_changed: list[InputChange] = []

    def __str__(self) -> str:
        """Return the record as a sentence."""
        changed = ", ".join(map(str, self.inputs_changed))
        since = f"since then these inputs changed: {changed}" if changed else "no known input changed since"
        day = f"{self.created_at:%Y-%m-%d %H:%M} UTC"
        what = f"{self.verdict}, {self.recommended_stack} stack"
        return f"last good on {day}, by run {self.run_id} ({what}); {since}"


class ReleaseReport(StepDocument):
    """The final report of one vendor and one model."""

    step: Literal["release_report"] = "release_report"
    pipeline: Literal["flagrelease"] = "flagrelease"
    container: str = ""
    model_path: str = ""
    model_revision: str | None = None
    stack_release: str = ""
    tensor_parallel_size: int = 1
    steps: ReportSteps
    conclusion: str = ""
    findings: list[str] = Field([], description="What kept the verdict from being PASS, one line each.")
    notes: list[str] = Field([], description="Alerts of checks that only warn.")
    waived: list[WaivedFinding] = Field([], description="Findings that a waiver accepts.")
    waiver_notes: list[str] = Field([], description="Waivers that expired or matched nothing.")
    verdict_without_waivers: Status | None = Field(None, description="The status as if none were given.")
    checks: list[CheckOutcome] = Field([], description="This release against its own history.")
    last_good: LastGood | None = Field(None, description="The last good release, for a FAIL.")
    step_lines: list[StepLine] = []
    performance_profiles: list[dict[str, Any]] = []
    reproduce: list[str] = Field([], description="Commands that repeat this release.")
    cannot_prove: list[str] = Field([], description="What this evidence does not show.")


class BoardCell(Document):
    """One vendor and model on the board."""

    vendor: str
    model: str
    verdict: Status | Literal["untested"]
    recommended_stack: Stack | None = None
    created_at: datetime | None = None
    run_id: str | None = None
    throughput_tok_s: float | None = None
    profiles_passed: str | None = None
    reason: str | None = None
