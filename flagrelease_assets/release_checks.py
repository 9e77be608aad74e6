"""Every check of a release against its history: which step it is of, what it reads, and its judgement.

Belongs here: the table of checks, and judging with it from the result store; Dagster's checks and the report
both ask here, so that they cannot disagree.
Does not belong here: the judgements (`regression.py`, `drift.py`), showing them (`checks.py`, `reporting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flagrelease_assets import drift, regression
from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    InstallStatus,
    ModelRun,
    StepDocument,
)
from flagrelease_assets.contracts.checks import CheckOutcome, CheckState, Finding
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.deployment.checks import Checks, CheckSettings
from flagrelease_assets.past import Past
from flagrelease_assets.results.store import ResultStore


@dataclass(frozen=True)
class ReleaseCheck:
    """One check of one step.

    Attributes:
        name: as in the deployment's `checks`.
        step: the asset that it is of.
        kind: the document that it judges.
        looks_at: other steps whose stored documents say what may be compared.
        judge: (document, past, settings) to outcome; pure.
        description: what a reader of the UI should know.
    """

    name: str
    step: str
    kind: type[StepDocument]
    looks_at: tuple[str, ...]
    judge: Callable[[Any, Past, Any], CheckOutcome]
    description: str


_OUTPUTS = "Greedy outputs against the last good run of the same revision and stack mode, near ties aside."

RELEASE_CHECKS = (
    ReleaseCheck(
        drift.INSTALL_DRIFT,
        "install_status",
        InstallStatus,
        (),
        drift.judge_install,
        "Installed packages against the last good installation of the same stack release.",
    ),
    ReleaseCheck(
        drift.OUTPUT_DRIFT, "run_a_result", ModelRun, ("model_snapshot",), drift.judge_outputs, _OUTPUTS
    ),
    ReleaseCheck(
        drift.OUTPUT_DRIFT, "run_b_result", ModelRun, ("model_snapshot",), drift.judge_outputs, _OUTPUTS
    ),
    ReleaseCheck(
        regression.REGRESSION,
        "benchmark_metrics",
        BenchmarkMetrics,
        ("model_snapshot", "install_status"),
        regression.judge_benchmark,
        "Throughput, TTFT and TPOT of each profile against comparable results, with their noise band.",
    ),
    ReleaseCheck(
        regression.FULL_BASE_RATIO,
        "benchmark_metrics",
        BenchmarkMetrics,
        (),
        regression.judge_ratio,
        f"Throughput of the recommended stack is at least {regression.MINIMUM_RATIO:.2f} of base's.",
    ),
    ReleaseCheck(
        drift.ACCURACY_DROP,
        "accuracy_metrics",
        AccuracyMetrics,
        ("model_snapshot", "recommended_stack"),
        drift.judge_accuracy,
        "Scores against the last good ones of the same revision, evaluator and stack.",
    ),
)


@dataclass
class StoredPast:
    """The stored results of one vendor and model; each step's are read once."""

    store: ResultStore
    vendor: str
    model: str
    _read: dict[str, tuple[tuple[StepDocument, ...], int]] = field(default_factory=dict)

    def of(self, *steps: str) -> Past:
        """Return what is stored of these steps; a file that cannot be read is counted, never fatal."""
        for step in steps:
            if step not in self._read:
                history = self.store.history(step, self.vendor, self.model)
                self._read[step] = history.documents, len(history.unreadable)
        found = {step: self._read[step] for step in steps}
        return Past(
            {step: documents for step, (documents, _) in found.items()},
            sum(unreadable for _, unreadable in found.values()),
        )


def setting(settings: Checks, check: ReleaseCheck) -> CheckSettings:
    """Return the deployment's settings of a check."""
    found: CheckSettings = getattr(settings, check.name)
    return found


def judge(
    check: ReleaseCheck, document: StepDocument | None, past: StoredPast, settings: Checks
) -> CheckOutcome:
    """Return the outcome of a check; nothing is judged of a step that measured nothing."""
    reason = _why_not(check, document)
    if reason:
        return CheckOutcome(check=check.name, step=check.step, state=CheckState.NOT_APPLICABLE, text=reason)
    return check.judge(document, past.of(check.step, *check.looks_at), setting(settings, check))


def judge_release(
    documents: Mapping[str, StepDocument | None], past: StoredPast, settings: Checks
) -> list[CheckOutcome]:
    """Return the outcome of every check that is not switched off, for the documents of a release."""
    return [
        judge(check, documents.get(check.step), past, settings)
        for check in RELEASE_CHECKS
        if setting(settings, check).severity != "off"
    ]


def finding_of(outcome: CheckOutcome, settings: Checks) -> Finding:
    """Return an alert as a finding of a release; one of a check that is set to warn is a note."""
    return Finding(
        check=outcome.check,
        text=f"{outcome.step}: {outcome.check}: {outcome.text}",
        components=outcome.components,
        counts=getattr(settings, outcome.check).severity == "error",
    )


def alerts(outcomes: Sequence[CheckOutcome], settings: Checks) -> list[Finding]:
    """Return the findings of a release among the outcomes.

    The ratio is left out: a ratio below its threshold is the benchmark step's own finding already.
    """
    return [
        finding_of(outcome, settings)
        for outcome in outcomes
        if outcome.state == CheckState.ALERT and outcome.check != regression.FULL_BASE_RATIO
    ]


def _why_not(check: ReleaseCheck, document: StepDocument | None) -> str | None:
    if document is None:
        return f"{check.step} has no result"
    if document.status not in (Status.PASS, Status.PARTIAL) or not isinstance(document, check.kind):
        return f"{check.step} is {document.status}: {document.reason or 'no reason is stored'}"
    return None
