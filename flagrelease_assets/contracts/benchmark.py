"""What `benchmark_metrics` and `accuracy_metrics` store."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import Document, JobResult, Stack, Status, StepDocument


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


class AccuracySummary(Document):
    """The accuracy part of the perf-test report."""

    status: Status = Status.SKIPPED
    reason: str | None = None


class BenchmarkMetrics(StepDocument):
    """The perf-test report: five profiles on the recommended stack, and on base for the ratio."""

    step: Literal["benchmark_metrics"] = "benchmark_metrics"
    stage: Literal["perf-test"] = "perf-test"
    model_path: str = ""
    tensor_parallel_size: int = 1
    stack: Stack = Stack.NONE
    flags: dict[str, str | None] = {}
    accuracy: AccuracySummary = AccuracySummary()
    performance: Performance = Performance()
    base_performance: Performance | None = Field(None, description="The same profiles on base.")
    ratios: dict[str, float] = Field({}, description="Full-to-base throughput ratio by profile.")
    full_to_base_ratio: float | None = Field(None, description="Smallest throughput ratio over the profiles.")
    ratio_note: str | None = Field(None, description="What limits the ratios, such as other server settings.")


class AccuracyMetrics(StepDocument):
    """The result of an evaluator on the recommended stack."""

    step: Literal["accuracy_metrics"] = "accuracy_metrics"
    evaluator: str | None = None
    scores: dict[str, float] = {}
