"""Whether something changed that nobody changed on purpose: outputs, packages, accuracy.

Belongs here: what of a result is compared with the last good one, and when two are comparable. All pure.
Does not belong here: speed (`regression.py`), comparing token by token (`output_agreement`).
"""

from __future__ import annotations

import math
from typing import Any

from container_scripts.output_agreement import Agreement, compare_outputs
from flagrelease_assets.contracts import AccuracyMetrics, InstallStatus, ModelRun, RecommendedStack
from flagrelease_assets.contracts.checks import CheckFigure, CheckOutcome, CheckState
from flagrelease_assets.contracts.common import Component, StepDocument
from flagrelease_assets.contracts.install import COMPONENT_OF_PACKAGE, PackageKey
from flagrelease_assets.deployment.checks import HistorySettings, ToleranceSettings
from flagrelease_assets.past import Comparable, Past, last_good
from flagrelease_assets.regression import overall

OUTPUT_DRIFT = "output_drift"
INSTALL_DRIFT = "install_drift"
ACCURACY_DROP = "accuracy_drop"

_STATE_OF_AGREEMENT = {
    "AGREE": CheckState.OK,
    "DIVERGE": CheckState.ALERT,
    "NOT_COMPARABLE": CheckState.NOT_APPLICABLE,
}


def judge_outputs(run: ModelRun, past: Past, settings: HistorySettings) -> CheckOutcome:
    """Return whether greedy outputs differ from the last good run's beyond a near tie."""

    def difference(one: ModelRun, other: ModelRun) -> str | None:
        if (one.stack, one.flags, one.tensor_parallel_size) != (
            other.stack,
            other.flags,
            other.tensor_parallel_size,
        ):
            return "another stack mode"
        if None not in (one.execution, other.execution) and one.execution != other.execution:
            return "another execution mode"
        return past.other_model_version(one, other)

    found = past.comparable(run, settings.since, difference)
    baseline = last_good(found.results, lambda one, other: _agreement(one, other).verdict != "AGREE")
    if baseline is None:
        return _without_baseline(OUTPUT_DRIFT, run, found)
    agreement = _agreement(baseline, run)
    return _against(
        baseline,
        CheckOutcome(
            check=OUTPUT_DRIFT,
            step=run.step,
            state=_STATE_OF_AGREEMENT[agreement.verdict],
            text=agreement.reason,
            figures=[
                CheckFigure(
                    subject=divergence.prompt_id,
                    metric=f"top-2 gap in nat at the first difference ({divergence.kind})",
                    state=CheckState.OK if divergence.kind == "near_tie" else CheckState.ALERT,
                    value=_finite(divergence.base_gap),
                    text=divergence.detail,
                )
                for divergence in agreement.first_divergences
            ],
        ),
    )


def _agreement(baseline: ModelRun, run: ModelRun) -> Agreement:
    ours, theirs = (item.phase_a_offline.outputs if item.phase_a_offline else [] for item in (baseline, run))
    return compare_outputs(ours, theirs)


def judge_install(install: InstallStatus, past: Past, settings: HistorySettings) -> CheckOutcome:
    """Return whether packages differ from the last good ones of the same stack release."""

    def difference(one: InstallStatus, other: InstallStatus) -> str | None:
        return None if one.stack_release == other.stack_release else "another stack release"

    found = past.comparable(install, settings.since, difference)
    baseline = last_good(found.results, lambda one, other: bool(_changes(one, other)))
    if baseline is None and install.reused_from_run:  # reuse proves that the packages are still the same
        baseline = install
    if baseline is None:
        return _without_baseline(INSTALL_DRIFT, install, found)
    changes = _changes(baseline, install)
    lines = [f"{subject}: {before} → {after}" for subject, (before, after) in changes.items()]
    return _against(
        baseline,
        CheckOutcome(
            check=INSTALL_DRIFT,
            step=install.step,
            state=CheckState.ALERT if changes else CheckState.OK,
            text="; ".join(lines) or f"the packages of {install.stack_release or 'the stack'} are unchanged",
            figures=[
                CheckFigure(subject=subject, metric="package", state=CheckState.ALERT, text=line)
                for subject, line in zip(changes, lines, strict=True)
            ],
            components=_components(changes),
        ),
    )


def _changes(one: InstallStatus, other: InstallStatus) -> dict[str, tuple[str, str]]:
    """Return what is not the same in two installations, each with its value before and after."""
    changes: dict[str, tuple[str, str]] = {}
    for key in dict.fromkeys([*one.packages, *other.packages]):
        before, after = _package(one, key), _package(other, key)
        if before != after:
            changes[key] = before, after
    if one.python_version != other.python_version:
        changes["Python"] = str(one.python_version), str(other.python_version)
    digests = one.packages_digest, other.packages_digest
    if not changes and None not in digests and digests[0] != digests[1]:
        changes["other packages of the environment"] = f"digest {digests[0]}", f"digest {digests[1]}"
    return changes


def _package(install: InstallStatus, key: PackageKey) -> str:
    package = install.packages.get(key)
    if package is None or not package.version:
        return "absent"
    parts = [
        package.version,
        *([f"from {package.provider}"] if package.provider else []),
        *([f"at {package.commit[:12]}"] if package.commit else []),
    ]
    return " ".join(parts)


def _components(changes: dict[str, tuple[str, str]]) -> list[Component]:
    named = [component for key, component in COMPONENT_OF_PACKAGE.items() if key in changes]
    return named if len(named) == len(changes) else [*named, "unknown"] if changes else []


def judge_accuracy(accuracy: AccuracyMetrics, past: Past, settings: ToleranceSettings) -> CheckOutcome:
    """Return whether a score fell below the last good one by more than the set per cent; higher is better."""

    def difference(one: AccuracyMetrics, other: AccuracyMetrics) -> str | None:
        if one.evaluator != other.evaluator:
            return "another evaluator"
        if _stack(one, past) != _stack(other, past):
            return "another stack"
        return past.other_model_version(one, other)

    def dropped(one: AccuracyMetrics, other: AccuracyMetrics) -> bool:
        return any(figure.state == CheckState.ALERT for figure in _score_figures(one, other, settings))

    found = past.comparable(accuracy, settings.since, difference)
    baseline = last_good(found.results, dropped)
    if baseline is None:
        return _without_baseline(ACCURACY_DROP, accuracy, found)
    figures = _score_figures(baseline, accuracy, settings)
    state = overall([figure.state for figure in figures])
    said = [
        f"{figure.subject} {figure.text}" for figure in figures if figure.state in (state, CheckState.ALERT)
    ]
    return _against(
        baseline,
        CheckOutcome(
            check=ACCURACY_DROP,
            step=accuracy.step,
            state=state,
            text="; ".join(said) or "no score was measured",
            figures=figures,
        ),
    )


def _score_figures(
    one: AccuracyMetrics, other: AccuracyMetrics, settings: ToleranceSettings
) -> list[CheckFigure]:
    return [
        _score_figure(task, one.scores.get(task), other.scores.get(task), settings)
        for task in dict.fromkeys([*one.scores, *other.scores])
    ]


def _score_figure(
    task: str, before: float | None, after: float | None, settings: ToleranceSettings
) -> CheckFigure:
    figure = CheckFigure(
        subject=task,
        metric="score",
        state=CheckState.NOT_APPLICABLE,
        value=_finite(after),
        baseline=_finite(before),
        text="has no score in both results",
    )
    if figure.value is None or figure.baseline is None:
        return figure
    fell = figure.baseline - figure.value
    state = (
        CheckState.ALERT if fell > settings.minimum_percent / 100 * abs(figure.baseline) else CheckState.OK
    )
    change = -100 * fell / abs(figure.baseline) if figure.baseline else None
    text = f"{figure.baseline:.4g} → {figure.value:.4g}"
    return figure.model_copy(update={"state": state, "change_percent": _finite(change), "text": text})


def _stack(document: AccuracyMetrics, past: Past) -> str | None:
    recommended = past.above(document, "recommended_stack")
    return recommended.recommended_stack if isinstance(recommended, RecommendedStack) else None


def _without_baseline(check: str, document: StepDocument, found: Comparable[Any]) -> CheckOutcome:
    return CheckOutcome(
        check=check,
        step=document.step,
        state=CheckState.INSUFFICIENT_DATA,
        text=f"there is no earlier comparable result{found.not_counted}",
    )


def _against(baseline: StepDocument, outcome: CheckOutcome) -> CheckOutcome:
    return outcome.model_copy(
        update={"baseline_run": baseline.measured_by_run, "baseline_at": baseline.created_at}
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
