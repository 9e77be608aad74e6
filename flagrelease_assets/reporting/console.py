"""What the terminal shows after a release: the verdict, the steps, the profiles, and where the report is.

Belongs here: laying the report out with rich.
Does not belong here: progress while it runs, the other commands' output.
"""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.reporting.against_history import waiver_lines
from flagrelease_assets.reporting.facts import profile_rows, reported_profiles
from flagrelease_assets.reporting.text import duration, milliseconds, number, one_line, stack_words

_STYLES = {
    "PASS": ("green", "✔"),
    "PARTIAL": ("yellow", "◐"),
    "FAIL": ("red", "✘"),
    "SKIPPED": ("bright_black", "»"),
    "BLOCKED": ("magenta", "⊘"),
}
_UNKNOWN = ("bright_black", "?")


def console_summary(report: ReleaseReport, location: str | None = None) -> Group:
    """Return what is printed after a release; ``location`` is the path or link of the full report."""
    parts: list[RenderableType] = [_verdict(report)]
    if report.step_lines:
        parts.append(_steps(report))
    if report.performance_profiles:
        parts.append(_profiles(report))
    parts += [_bullet(report.status, finding) for finding in report.findings]
    parts += [_bullet("PARTIAL", f"note: {note}") for note in report.notes]
    parts += [_bullet("SKIPPED", line) for line in waiver_lines(report)]
    if location:
        parts.append(Text.assemble("\n", ("Report  ", "bold"), _clean(location)))
    return Group(*parts)


def _verdict(report: ReleaseReport) -> Panel:
    color, _ = _look(report.status)
    stack = report.steps.model_verify.recommended_stack
    body = Text.assemble(
        _status(report.status),
        "  ",
        (_clean(report.model), "bold"),
        " on ",
        (_clean(report.vendor), "bold"),
        "\n",
        _clean(report.conclusion or report.reason or "No conclusion is stored."),
        "\n",
        (f"{stack_words(stack)} · {_clean(report.steps.perf_test.profiles_passed)} profiles passed", "dim"),
    )
    return Panel(body, border_style=color, box=box.ROUNDED, padding=(0, 1))


def _steps(report: ReleaseReport) -> Table:
    steps = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    steps.add_column("Step", no_wrap=True)
    steps.add_column("Status", no_wrap=True)
    steps.add_column("Time", justify="right", no_wrap=True)
    steps.add_column("Reason", overflow="fold")
    for line in report.step_lines:
        reused = f"reused from run {line.reused_from_run}" if line.reused_from_run else ""
        blocked = f"blocked by {', '.join(line.blocked_by)}" if line.blocked_by else ""
        said = "; ".join(part for part in (line.reason, blocked, reused) if part)
        steps.add_row(
            Text(_clean(line.step)),
            _status(line.status),
            duration(line.duration_s or None),
            Text(_clean(said), "dim"),
        )
    return steps


def _profiles(report: ReleaseReport) -> Table:
    profiles = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    profiles.add_column("Profile", no_wrap=True)
    for head in ("Req/s", "Tok/s", "TTFT", "TPOT", "P99"):
        profiles.add_column(head, justify="right", no_wrap=True)
    profiles.add_column("Status", no_wrap=True)
    for row in profile_rows(reported_profiles(report)):
        profiles.add_row(
            Text(_clean(row.name)),
            number(row.requests_per_s),
            number(row.tokens_per_s),
            milliseconds(row.ttft_mean_ms),
            milliseconds(row.tpot_mean_ms),
            milliseconds(row.latency_p99_ms),
            _status(row.status),
        )
    return profiles


def _bullet(status: str, finding: str) -> Text:
    color, symbol = _look(status)
    return Text.assemble((f"{symbol} ", color), _clean(finding))


def _status(status: str) -> Text:
    color, symbol = _look(status)
    return Text(f"{symbol} {_clean(status)}", style=f"bold {color}")


def _look(status: str) -> tuple[str, str]:
    return _STYLES.get(status, _UNKNOWN)


def _clean(text: str) -> str:
    return one_line(text)
