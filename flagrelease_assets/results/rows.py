"""A stored result as one row: what queries over thousands of results need, and no more.

Belongs here: the row and how it is made of a document.
Does not belong here: where rows are kept (`index.py`), data frames (`history.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    DiffAnalysis,
    InstallStatus,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
)
from flagrelease_assets.contracts.common import Status, StepDocument

Metrics = dict[str, dict[str, float]]
"""Numbers of a benchmark: profile -> metric -> value."""


KEPT_METRICS = (
    "throughput_req_s",
    "throughput_tok_s",
    "ttft_mean_ms",
    "tpot_mean_ms",
    "latency_p99_ms",
)
"""The metrics of a profile that a row has, as `benchmark_metrics` names them; the document has them all."""


class ResultFacts(BaseModel):
    """One stored result without its figures; a field that its step does not know is None or empty."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    step: str
    vendor: str
    model: str
    run_id: str
    created_at: datetime = Field(description="When the result was measured (UTC).")
    status: Status
    reason: str | None = None
    duration_s: float = 0.0
    reused_from_run: str | None = None
    fingerprint: str = ""
    container: str | None = None
    image: str | None = None
    image_id: str | None = None
    stack_release: str | None = None
    model_revision: str | None = None
    packages: dict[str, str] = Field(
        default_factory=dict, description="Version of each package that is there."
    )
    recommended_stack: str | None = None
    conclusion: str | None = None
    multichip_component: str | None = None
    profiles_passed: str | None = None
    tensor_parallel_size: int | None = None
    full_to_base_ratio: float | None = None
    execution: str | None = Field(
        None, description="How the server ran (eager, compiled, graphs), if it said so."
    )

    @property
    def measured_by_run(self) -> str:
        """The run whose measurement this is, looking through reuse."""
        return self.reused_from_run or self.run_id


class ResultRow(ResultFacts):
    """One stored result with the figures of its benchmark profiles."""

    profiles: Metrics = Field(default_factory=dict, description="On the recommended stack.")
    base_profiles: Metrics = Field(default_factory=dict, description="Metrics of the same profiles on base.")
    sizes: dict[str, str] = Field(default_factory=dict, description="Input/output/prompts by profile.")

    @property
    def throughput_tok_s(self) -> float | None:
        """The best output throughput over the profiles, in tokens per second."""
        values = [metrics.get("throughput_tok_s") for metrics in self.profiles.values()]
        return max((value for value in values if value is not None), default=None)


def row_of(document: StepDocument) -> ResultRow:
    """Return the row of a document."""
    worker = document.worker
    return ResultRow(
        step=document.step,
        vendor=document.vendor,
        model=document.model,
        run_id=document.run_id,
        created_at=document.created_at,
        status=document.status,
        reason=document.reason,
        duration_s=document.duration_s,
        reused_from_run=document.reused_from_run,
        fingerprint=document.fingerprint,
        container=worker.name if worker else None,
        image=worker.image if worker else None,
        image_id=worker.image_id if worker else None,
        **_details(document),
    )


def _details(document: StepDocument) -> dict[str, Any]:
    """Return what one kind of document adds to its row."""
    match document:
        case InstallStatus():
            versions: dict[str, str | None] = {
                key: package.version for key, package in document.packages.items()
            }
            return {"stack_release": document.stack_release or None, "packages": _present(versions)}
        case ModelSnapshot():
            return {
                "model_revision": document.revision,
                "tensor_parallel_size": document.tensor_parallel_size,
            }
        case DiffAnalysis():
            return {
                "recommended_stack": document.recommended_stack.value,
                "conclusion": document.conclusion,
                "multichip_component": document.multichip_component,
            }
        case RecommendedStack():
            return {"recommended_stack": document.recommended_stack.value}
        case BenchmarkMetrics():
            return _benchmark(document)
        case ReleaseReport():
            return _report(document)
        case _:
            return {}


def _benchmark(document: BenchmarkMetrics) -> dict[str, Any]:
    performance, base = document.performance, document.base_performance
    configuration = performance.server.get("effective_config") or {}
    execution = configuration.get("execution")
    return {
        "recommended_stack": document.stack.value,
        "profiles_passed": performance.profiles_passed,
        "tensor_parallel_size": document.tensor_parallel_size,
        "profiles": _metrics((p.name, p.status, p.metrics) for p in performance.profiles),
        "base_profiles": _metrics((p.name, p.status, p.metrics) for p in base.profiles) if base else {},
        "sizes": {
            profile.name: f"{profile.input_len}/{profile.output_len}/{profile.num_prompts}"
            for profile in performance.profiles
        },
        "full_to_base_ratio": document.full_to_base_ratio,
        "execution": execution if isinstance(execution, str) else None,
    }


def _report(document: ReleaseReport) -> dict[str, Any]:
    packages = document.steps.install_stack.packages
    profiles = document.performance_profiles
    return {
        "stack_release": document.stack_release or None,
        "model_revision": document.model_revision,
        "packages": _present({key: package.get("version") for key, package in packages.items()}),
        "recommended_stack": document.steps.model_verify.recommended_stack.value,
        "conclusion": document.conclusion or None,
        "profiles_passed": document.steps.perf_test.profiles_passed,
        "tensor_parallel_size": document.tensor_parallel_size,
        "profiles": _metrics((str(p.get("name")), p.get("status"), p.get("metrics")) for p in profiles),
        "sizes": {
            str(profile.get("name")): "/".join(
                str(profile.get(key)) for key in ("input_len", "output_len", "num_prompts")
            )
            for profile in profiles
        },
    }


def _metrics(profiles: Iterable[tuple[str, Any, Any]]) -> Metrics:
    """Return the numbers that a row keeps of (name, status, metrics) of profiles, whatever else is there.

    Figures of a profile that failed are of the requests that were not lost: no measurement of the stack.
    """
    return {
        name: {
            key: float(value)
            for key, value in metrics.items()
            if key in KEPT_METRICS and isinstance(value, int | float)
        }
        for name, status, metrics in profiles
        if status != Status.FAIL and isinstance(metrics, Mapping)
    }


def _present(versions: Mapping[str, str | None]) -> dict[str, str]:
    return {key: version for key, version in versions.items() if version}
