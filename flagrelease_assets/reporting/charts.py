"""Bar charts of the benchmark: what is drawn, how long each bar is, and what stands beside it.

Belongs here: the numbers of a chart as shares of its longest bar.
Does not belong here: drawing (the templates).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flagrelease_assets.contracts.benchmark import ProfileResult
from flagrelease_assets.reporting.facts import metric
from flagrelease_assets.reporting.text import ABSENT, milliseconds, number


@dataclass(frozen=True)
class Bar:
    """One value; shares are percent of the chart's width, None where nothing was measured."""

    series: str
    text: str
    share: float | None
    far_share: float | None = None


@dataclass(frozen=True)
class Group:
    """The bars of one profile: of the recommended stack, and of base where it was measured too."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Chart:
    """One metric over all profiles."""

    title: str
    better: str
    far_label: str | None
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _Metric:
    title: str
    better: str
    near: str
    far: str | None
    text: Callable[[float | None], str]


_METRICS = (
    _Metric(
        "Output throughput", "higher is better", "throughput_tok_s", None, lambda v: f"{number(v)} tok/s"
    ),
    _Metric("Time to first token", "lower is better", "ttft_mean_ms", "ttft_p99_ms", milliseconds),
    _Metric("Time per output token", "lower is better", "tpot_mean_ms", "tpot_p99_ms", milliseconds),
)


def performance_charts(series: Mapping[str, Sequence[ProfileResult]]) -> list[Chart]:
    """Return one chart for each metric that was measured at all; ``series`` is by its name in the legend."""
    measured = [kind for kind in _METRICS if _values(series, kind)]
    return [_chart(series, kind) for kind in measured]


def _values(series: Mapping[str, Sequence[ProfileResult]], kind: _Metric) -> list[float]:
    names = [name for name in (kind.near, kind.far) if name]
    found = [metric(profile, name) for profiles in series.values() for profile in profiles for name in names]
    return [value for value in found if value is not None]


def _chart(series: Mapping[str, Sequence[ProfileResult]], kind: _Metric) -> Chart:
    longest = max(_values(series, kind)) or 1.0
    labels = dict.fromkeys(profile.name for profiles in series.values() for profile in profiles)
    groups = [
        Group(
            label,
            tuple(
                _bar(name, profile, kind, longest)
                for name, profiles in series.items()
                for profile in profiles
                if profile.name == label
            ),
        )
        for label in labels
    ]
    return Chart(kind.title, kind.better, "mean, and the mark is P99" if kind.far else None, tuple(groups))


def _bar(series: str, profile: ProfileResult, kind: _Metric, longest: float) -> Bar:
    near, far = metric(profile, kind.near), metric(profile, kind.far) if kind.far else None
    if near is None:
        return Bar(series, profile.status if profile.status != "PASS" else ABSENT, None)
    text = kind.text(near) + (f" · P99 {kind.text(far)}" if far is not None else "")
    return Bar(series, text, _share(near, longest), _share(far, longest) if far is not None else None)


def _share(value: float, longest: float) -> float:
    return round(max(0.0, min(1.0, value / longest)) * 100, 2)
