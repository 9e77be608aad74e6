"""Whether a benchmark is worse than its own history, and whether its stack is fast enough against base.

Belongs here: the noise band, what makes two benchmarks comparable, the threshold of the ratio. All pure.
Does not belong here: reading the history (`release_checks.py`), drift of outputs or packages (`drift.py`),
which benchmarks are good enough to be history (`benchmark_doubts.py`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from container_scripts.server_config import configuration_differences
from flagrelease_assets.benchmark_doubts import undoubted
from flagrelease_assets.contracts import BenchmarkMetrics, InstallStatus
from flagrelease_assets.contracts.benchmark import Performance, ProfileResult
from flagrelease_assets.contracts.checks import CheckFigure, CheckOutcome, CheckState
from flagrelease_assets.deployment.checks import CheckSettings, RegressionSettings
from flagrelease_assets.past import Comparable, Past

REGRESSION = "regression"
FULL_BASE_RATIO = "full_base_ratio"

# Smallest ratio of throughput to base's, over every profile and both throughputs, at which a stack above base
# is fast enough; the acceptance rule of the FlagRelease production program.
MINIMUM_RATIO = 0.80

# Metric of a profile, and whether a larger figure is the better one.
JUDGED_METRICS = {"throughput_tok_s": True, "ttft_mean_ms": False, "tpot_mean_ms": False}

# Newest good results that make the noise band: enough for a spread, few enough to follow slow change.
BAND_RESULTS = 20

# Bounds of any throughput per second or latency in milliseconds; what is beyond is not a measurement.
SMALLEST_FIGURE = 1e-9
LARGEST_FIGURE = 1e15

_GRAVEST_FIRST = (
    CheckState.ALERT,
    CheckState.INSUFFICIENT_DATA,
    CheckState.NOT_APPLICABLE,
    CheckState.OK,
)


@dataclass(frozen=True)
class Point:
    """One earlier figure, with the run that measured it and when."""

    value: float
    run: str
    at: datetime


def measured(value: Any) -> bool:
    """Whether a value is a figure at all: a positive finite number of a believable size."""
    return isinstance(value, int | float) and SMALLEST_FIGURE <= value < LARGEST_FIGURE


def overall(states: Sequence[CheckState]) -> CheckState:
    """Return the gravest of several states; of none, NOT_APPLICABLE."""
    return next((state for state in _GRAVEST_FIRST if state in states), CheckState.NOT_APPLICABLE)


def judge_figure(
    subject: str,
    metric: str,
    value: Any,
    history: Sequence[Point],
    settings: RegressionSettings,
    *,
    higher_is_better: bool,
) -> CheckFigure:
    """Return how a figure stands against its history.

    An alert needs both: the figure is outside the noise band (the mean of the good results, on its bad side,
    by more than the set number of standard deviations), and it is worse by more than the set per cent than
    the last good figure or the mean, whichever is better. Figures that would have alerted are not good.

    Args:
        subject: the profile.
        metric: the metric's name.
        value: the figure to judge; None, NaN or infinite means that there is none.
        history: comparable earlier figures in any order.
        settings: width of the band, smallest change, number of results needed.
        higher_is_better: True for throughput, False for latency.
    """
    ordered = sorted(
        (point for point in history if measured(point.value)), key=lambda point: (point.at, point.run)
    )
    good = _good(ordered, settings, higher_is_better)
    figure = CheckFigure(
        subject=subject, metric=metric, state=CheckState.NOT_APPLICABLE, results=len(good), text="no figure"
    )
    if good:
        figure = figure.model_copy(
            update={
                "baseline": good[-1].value,
                "baseline_run": good[-1].run,
                "baseline_at": good[-1].at,
                **_band(good),
            }
        )
    dead = isinstance(value, int | float) and higher_is_better and -LARGEST_FIGURE < value < SMALLEST_FIGURE
    if not measured(value) and not dead:
        return figure
    number = float(max(value, 0))
    change = 100 * (number / good[-1].value - 1) if good else None
    figure = figure.model_copy(update={"value": number, "change_percent": change})
    if len(good) < settings.minimum_results:
        text = f"{len(good)} comparable results, {settings.minimum_results} are needed"
        return figure.model_copy(update={"state": CheckState.INSUFFICIENT_DATA, "text": text})
    worse = _is_worse(number, good, settings, higher_is_better)
    state = CheckState.ALERT if worse else CheckState.OK
    return figure.model_copy(update={"state": state, "text": _said(figure, worse)})


def _good(ordered: Sequence[Point], settings: RegressionSettings, higher_is_better: bool) -> list[Point]:
    """Return the results that were not themselves worse than what came before them, the newest of them."""
    good: list[Point] = []
    for point in ordered:
        enough = len(good) >= settings.minimum_results
        if not (enough and _is_worse(point.value, good, settings, higher_is_better)):
            good.append(point)
    return good[-max(BAND_RESULTS, settings.minimum_results) :]


def _is_worse(
    value: float, good: Sequence[Point], settings: RegressionSettings, higher_is_better: bool
) -> bool:
    sign = 1.0 if higher_is_better else -1.0
    values = [point.value for point in good[-max(BAND_RESULTS, settings.minimum_results) :]]
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    reference = max(values[-1], mean) if higher_is_better else min(values[-1], mean)
    outside = sign * (mean - value) > settings.standard_deviations * deviation
    return outside and sign * (reference - value) > settings.minimum_percent / 100 * reference


def _band(good: Sequence[Point]) -> dict[str, float | None]:
    values = [point.value for point in good]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_deviation": deviation}


def _said(figure: CheckFigure, worse: bool) -> str:
    deviation = figure.standard_deviation or 0.0
    change = f"{figure.change_percent:+.1f} % against the last good result"
    band = f"the mean of {figure.results} is {figure.mean:.4g} ± {deviation:.2g}"
    return f"{change}; {band}" if worse else change


def judge_benchmark(document: BenchmarkMetrics, past: Past, settings: RegressionSettings) -> CheckOutcome:
    """Return whether throughput, TTFT or TPOT of any profile is worse than in comparable results."""
    found = past.comparable(document, settings.since, lambda a, b: _difference(a, b, past), undoubted)
    figures = [
        judge_figure(
            profile.name,
            metric,
            profile.metrics.get(metric),
            _points(found.results, profile.name, metric),
            settings,
            higher_is_better=higher_is_better,
        )
        for profile in document.performance.profiles
        if profile.status == "PASS"
        for metric, higher_is_better in JUDGED_METRICS.items()
    ]
    state = overall([figure.state for figure in figures])
    baseline = _baseline(figures)
    return CheckOutcome(
        check=REGRESSION,
        step=document.step,
        state=state,
        text=_benchmark_text(state, figures, found),
        figures=figures,
        baseline_run=baseline.baseline_run if baseline else None,
        baseline_at=baseline.baseline_at if baseline else None,
    )


def _difference(one: BenchmarkMetrics, other: BenchmarkMetrics, past: Past) -> str | None:
    """Return why two benchmarks are not like with like, in a few words; None if they are.

    The engine's version is no difference: that a new version is slower is what the check is for.
    """
    other_version = past.other_model_version(one, other)
    if other_version:
        return other_version
    if one.stack != other.stack:
        return "another stack"
    if _profile_set(one.performance) != _profile_set(other.performance):
        return "another set of profiles"
    if one.tensor_parallel_size != other.tensor_parallel_size or _devices(one, past) != _devices(other, past):
        return "other devices"
    configurations = (_configuration(item.performance) for item in (one, other))
    return "another server configuration" if configuration_differences(*configurations) else None


def _profile_set(performance: Performance) -> set[tuple[str, int, int, int]]:
    return {
        (profile.name, profile.input_len, profile.output_len, profile.num_prompts)
        for profile in performance.profiles
    }


def _devices(document: BenchmarkMetrics, past: Past) -> list[str]:
    install = past.above(document, "install_status")
    facts = install.environment if isinstance(install, InstallStatus) else None
    return sorted(device.name for device in facts.devices) if facts else []


def _configuration(performance: Performance) -> dict[str, Any]:
    configuration = performance.server.get("effective_config")
    known = configuration if isinstance(configuration, dict) else {}
    return {key: value for key, value in known.items() if key != "version"}


def _points(results: Sequence[BenchmarkMetrics], profile: str, metric: str) -> list[Point]:
    found: list[Point] = []
    for document in results:
        item = _profile(document.performance.profiles, profile)
        value = item.metrics.get(metric) if item and item.status == "PASS" else None
        if value is not None and measured(value):
            found.append(Point(float(value), document.measured_by_run, document.created_at))
    return found


def _profile(profiles: Sequence[ProfileResult], name: str) -> ProfileResult | None:
    return next((profile for profile in profiles if profile.name == name), None)


def _baseline(figures: Sequence[CheckFigure]) -> CheckFigure | None:
    """Return the figure whose baseline stands for the whole: an alert's, else the newest one's."""
    known = [figure for figure in figures if figure.baseline_at]
    alerts = [figure for figure in known if figure.state == CheckState.ALERT]
    return max(alerts or known, key=lambda figure: str(figure.baseline_at), default=None)


def _benchmark_text(
    state: CheckState, figures: Sequence[CheckFigure], found: Comparable[BenchmarkMetrics]
) -> str:
    alerts = [figure for figure in figures if figure.state == CheckState.ALERT]
    if alerts:
        return "; ".join(f"{figure.subject} {figure.metric} {figure.text}" for figure in alerts)
    if state == CheckState.OK:
        return f"no profile is worse than in {min(figure.results for figure in figures)} comparable results"
    if not figures:
        return "no profile passed"
    return next(figure.text for figure in figures if figure.state == state) + found.not_counted


def too_slow(ratios: Mapping[str, float]) -> list[str]:
    """Return a line for each profile with too little of base's throughput."""
    return [
        f"{name}: {ratio:.3f} of base's throughput, at least {MINIMUM_RATIO:.2f} is asked"
        for name, ratio in ratios.items()
        if ratio < MINIMUM_RATIO
    ]


def judge_ratio(document: BenchmarkMetrics, past: Past, settings: CheckSettings) -> CheckOutcome:
    """Return whether the measured stack has enough of base's throughput; base alone has no ratio."""
    slow = too_slow(document.ratios)
    figures = [
        CheckFigure(
            subject=name,
            metric="full_to_base_ratio",
            state=CheckState.ALERT if ratio < MINIMUM_RATIO else CheckState.OK,
            value=ratio,
            baseline=MINIMUM_RATIO,
        )
        for name, ratio in document.ratios.items()
        if math.isfinite(ratio)
    ]
    state = overall([figure.state for figure in figures])
    if state == CheckState.NOT_APPLICABLE:
        text = f"there is no ratio to base: {_why_no_ratio(document)}"
    else:
        smallest = min(figure.value or 0.0 for figure in figures)
        text = "; ".join(slow) or f"smallest {document.stack}/base ratio {smallest:.3f}"
    return CheckOutcome(check=FULL_BASE_RATIO, step=document.step, state=state, text=text, figures=figures)


def _why_no_ratio(document: BenchmarkMetrics) -> str:
    if document.base_performance is None:
        return f"measured on the {document.stack} stack alone"
    passed = document.performance.profiles_passed, document.base_performance.profiles_passed
    return f"no profile passed on both stacks ({passed[0]} on {document.stack}, {passed[1]} on base)"
