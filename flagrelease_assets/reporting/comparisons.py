"""Comparisons of releases in the terminal: inputs that changed, figures side by side, figures over time.

Belongs here: laying them out with rich. Does not belong here: comparing (`results/comparison.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrelease_assets.reporting.text import ABSENT, moment, number, one_line
from flagrelease_assets.results.comparison import Comparison, MetricChange, changed_inputs
from flagrelease_assets.results.rows import ResultRow

LOWER_IS_BETTER = "_ms"
_BARS = "▁▂▃▄▅▆▇█"
NOTABLE_PERCENT = 1.0


def comparison_view(comparisons: Sequence[Comparison]) -> Group:
    """Return one or more comparisons as tables."""
    return Group(*(part for comparison in comparisons for part in _one(comparison)))


def timeline_view(releases: Mapping[str, Sequence[ResultRow]]) -> Group:
    """Return the releases of each cell, oldest first, with the trend of each profile's throughput."""
    return Group(*(part for name, rows in releases.items() for part in _timeline(name, rows)))


def sparkline(values: Sequence[float | None]) -> str:
    """Return values as a line of bars from the smallest to the largest; a gap where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    steps = len(_BARS) - 1
    return "".join(" " if value is None else _BARS[round((value - low) / span * steps)] for value in values)


def _one(comparison: Comparison) -> list[RenderableType]:
    before, after = comparison.before, comparison.after
    head = Text.assemble(
        _who(after), (f"  {after.status}", "bold"), "\nagainst ", _who(before), (f"  {before.status}", "bold")
    )
    parts: list[RenderableType] = [head]
    if comparison.not_alike:
        parts += [Text("Not like with like:", "yellow")]
        parts += [Text(f"  {one_line(reason)}", "yellow") for reason in comparison.not_alike]
    if comparison.inputs_changed:
        inputs = Table("Input", "Before", "After", box=box.SIMPLE_HEAD, pad_edge=False)
        for change in comparison.inputs_changed:
            inputs.add_row(*map(one_line, (change.name, change.before, change.after)))
        parts.append(inputs)
    else:
        parts.append(Text("No known input differs.", "dim"))
    parts.append(
        _metrics(comparison.metrics) if comparison.metrics else Text("No figures to compare.", "dim")
    )
    return parts


def _who(row: ResultRow) -> str:
    stack = f", {row.recommended_stack} stack" if row.recommended_stack else ""
    return one_line(f"{row.model} on {row.vendor}, run {row.run_id}, {moment(row.created_at)}{stack}")


def _metrics(changes: Sequence[MetricChange]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("Profile", "Metric"):
        table.add_column(head, no_wrap=True)
    for head in ("Before", "After", "Change"):
        table.add_column(head, justify="right", no_wrap=True)
    for change in changes:
        table.add_row(
            one_line(change.profile),
            change.metric,
            number(change.before),
            number(change.after),
            _moved(change),
        )
    return table


def _moved(change: MetricChange) -> Text:
    percent = change.change_percent
    if percent is None:
        return Text(ABSENT, "dim")
    worse = percent > 0 if change.metric.endswith(LOWER_IS_BETTER) else percent < 0
    style = "dim" if abs(percent) < NOTABLE_PERCENT else "red" if worse else "green"
    return Text(f"{percent:+.1f} %", style)


def _timeline(name: str, rows: Sequence[ResultRow]) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=one_line(name), title_justify="left")
    for head in ("When", "Run", "Verdict", "Stack", "Profiles"):
        table.add_column(head, no_wrap=True)
    table.add_column("tok/s", justify="right", no_wrap=True)
    table.add_column("Changed since the one before", overflow="fold")
    previous: ResultRow | None = None
    for row in rows:
        changed = "; ".join(map(str, changed_inputs(previous, row))) if previous else ""
        table.add_row(
            moment(row.created_at),
            row.run_id[:8],
            row.status.value,
            row.recommended_stack or ABSENT,
            row.profiles_passed or ABSENT,
            number(row.throughput_tok_s),
            one_line(changed),
        )
        previous = row
    profiles = list(dict.fromkeys(profile for row in rows for profile in row.profiles))
    trends = Table("Profile", "tok/s over time", "TTFT over time", box=box.SIMPLE_HEAD, pad_edge=False)
    for profile in profiles:
        lines = [
            sparkline([row.profiles.get(profile, {}).get(metric) for row in rows])
            for metric in ("throughput_tok_s", "ttft_mean_ms")
        ]
        trends.add_row(one_line(profile), *lines)
    return [table, *([trends] if profiles else [])]
