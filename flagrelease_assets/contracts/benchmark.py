"""What `benchmark_metrics` and `accuracy_metrics` store."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import Document, JobResult, Stack, Status, StepDocument


class DoubtKind(StrEnum):
    """Why a benchmark is less than PASS; judgement reads this, people the text beside it."""

    NOT_ALL_PASSED = "not_all_passed"
    PROFILE_NOT_APPLICABLE = "profile_not_applicable"
    PROFILE_NOT_PASSED = "profile_not_passed"
    PROFILE_NOT_MEASURED = "profile_not_measured"
    MEASUREMENT_FAILED = "measurement_failed"
    STACK_INACTIVE = "stack_inactive"
    PROCESSES_LEFT = "processes_left"
    BASE_PROFILE_NOT_PASSED = "base_profile_not_passed"
    TOO_SLOW = "too_slow"
    NO_RATIO = "no_ratio"


class BenchmarkDoubt(Document):
    """One reason why a benchmark is less than PASS."""

    kind: DoubtKind
    text: str = Field(description="Its part of the `reason`.")


class ProfileResult(JobResult):
    """One benchmark profile: sizes in tokens, latencies in milliseconds, throughputs per second."""

    name: str
    input_len: int
    output_len: int
    num_prompts: int
    full_size: dict[str, int] = Field({}, description="Size in the catalog, when it was scaled.")
    metrics: dict[str, float | int | None] = {}
    reasons: list[str] = []
    empty_answers: int = Field(0, description="Answers with status 200 and nothing in them: failed requests.")
    engine_check: dict[str, Any] = Field({}, description="The client's figures against the engine's own.")
    spread: dict[str, float | None] = Field({}, description="Largest minus smallest repeat, over the median.")
    repeats: list[dict[str, Any]] = Field([], description="Each repeat whole; `metrics` are their medians.")

    @property
    def why_not_passed(self) -> str:
        """In one line why it is not PASS."""
        return self.error or "; ".join(self.reasons) or self.status

    @property
    def doubt(self) -> BenchmarkDoubt:
        """What a profile that is not PASS makes doubtful."""
        skipped = self.status == "SKIPPED"
        kind = DoubtKind.PROFILE_NOT_APPLICABLE if skipped else DoubtKind.PROFILE_NOT_PASSED
        return BenchmarkDoubt(kind=kind, text=f"{self.name}: {self.why_not_passed}")


class BenchmarkRun(JobResult):
    """What `benchmark_stack` measured."""

    profiles_passed: str | None = None
    profiles: list[ProfileResult] = []
    summary_table: str = ""
    startup_s: float | None = None
    server: dict[str, Any] = {}


class Performance(Document):
    """All profiles on one stack."""

    status: Status = Status.SKIPPED
    profiles_passed: str = "0/0"
    profiles: list[ProfileResult] = []
    summary_table: str = ""
    startup_s: float | None = None
    server: dict[str, Any] = Field({}, description="Command, effective configuration and how it stopped.")

    @property
    def not_passed(self) -> list[BenchmarkDoubt]:
        """How many profiles passed and why others did not; nothing if all did."""
        if self.status == Status.PASS:
            return []
        count = f"{self.profiles_passed} profiles passed"
        others = [profile.doubt for profile in self.profiles if profile.status != "PASS"]
        return [BenchmarkDoubt(kind=DoubtKind.NOT_ALL_PASSED, text=count), *others]


class AccuracySummary(Document):
    """The accuracy part of the perf-test report."""

    status: Status = Status.SKIPPED
    reason: str | None = None


class BenchmarkMetrics(StepDocument):
    """The perf-test report: five profiles on the recommended stack, and on base for the ratio.

    The names with `full` in them are older than the reduced stack: the ratios are of `stack` to base.
    """

    step: Literal["benchmark_metrics"] = "benchmark_metrics"
    stage: Literal["perf-test"] = "perf-test"
    model_path: str = ""
    tensor_parallel_size: int = 1
    stack: Stack = Stack.NONE
    flags: dict[str, str | None] = {}
    accuracy: AccuracySummary = AccuracySummary()
    performance: Performance = Performance()
    base_performance: Performance | None = Field(None, description="The same profiles on base.")
    ratios: dict[str, float] = Field({}, description="Throughput of the stack over base's, by profile.")
    full_to_base_ratio: float | None = Field(None, description="Smallest throughput ratio over the profiles.")
    ratio_note: str | None = Field(None, description="What limits the ratios, such as other server settings.")
    doubts: list[BenchmarkDoubt] | None = Field(
        None, description="Why it is less than PASS; null if stored before doubts had kinds, or not measured."
    )


class AccuracyMetrics(StepDocument):
    """The result of an evaluator on the recommended stack."""

    step: Literal["accuracy_metrics"] = "accuracy_metrics"
    evaluator: str | None = None
    scores: dict[str, float] = {}
