"""The stored documents of one release, each under its own type.

Belongs here: finding a step's document and every error record among them.
Does not belong here: rows and sentences made of them (facts, claims).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
    StepDocument,
)
from flagrelease_assets.contracts.common import ErrorRecord

_Kind = TypeVar("_Kind", bound=StepDocument)


@dataclass(frozen=True)
class ReleaseDocuments:
    """The report and what is stored of the steps; a step without a document is None."""

    report: ReleaseReport
    by_step: Mapping[str, StepDocument]

    def _of(self, step: str, kind: type[_Kind]) -> _Kind | None:
        document = self.by_step.get(step)
        return document if isinstance(document, kind) else None

    @property
    def install(self) -> InstallStatus | None:
        """The install step."""
        return self._of("install_status", InstallStatus)

    @property
    def environment(self) -> EnvVerification | None:
        """The smoke test."""
        return self._of("env_verification", EnvVerification)

    @property
    def snapshot(self) -> ModelSnapshot | None:
        """The model's files."""
        return self._of("model_snapshot", ModelSnapshot)

    @property
    def run_a(self) -> ModelRun | None:
        """The run without the multi-chip packages."""
        return self._of("run_a_result", ModelRun)

    @property
    def run_b(self) -> ModelRun | None:
        """The run with the multi-chip packages."""
        return self._of("run_b_result", ModelRun)

    @property
    def diff(self) -> DiffAnalysis | None:
        """The comparison of the two runs."""
        return self._of("diff_analysis", DiffAnalysis)

    @property
    def recommended(self) -> RecommendedStack | None:
        """The stack to release with."""
        return self._of("recommended_stack", RecommendedStack)

    @property
    def benchmark(self) -> BenchmarkMetrics | None:
        """The performance figures."""
        return self._of("benchmark_metrics", BenchmarkMetrics)

    @property
    def accuracy(self) -> AccuracyMetrics | None:
        """The evaluator's scores."""
        return self._of("accuracy_metrics", AccuracyMetrics)

    @property
    def errors(self) -> list[ErrorRecord]:
        """Every error record once: the report's own, then those that only a step's document has."""
        found: dict[str, ErrorRecord] = {}
        for document in (self.report, *self.by_step.values()):
            for error in document.errors:
                found.setdefault(error.model_dump_json(exclude={"ts"}), error)
        return list(found.values())
