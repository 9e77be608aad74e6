"""What a report says of its checks against earlier results and of its waivers, as rows and lines.

Belongs here: the same words for Markdown, HTML and the terminal. Does not belong here: markup, judgement.
"""

from __future__ import annotations

from dataclasses import dataclass

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.checks import CheckState
from flagrelease_assets.reporting.text import ABSENT, moment

TONES = {
    CheckState.OK: "PASS",
    CheckState.ALERT: "FAIL",
    CheckState.INSUFFICIENT_DATA: "SKIPPED",
    CheckState.NOT_APPLICABLE: "SKIPPED",
}
"""The status whose mark and colour a state has."""


@dataclass(frozen=True)
class CheckRow:
    """One check: ``tone`` is the status that it looks like."""

    check: str
    step: str
    state: str
    tone: str
    text: str
    baseline: str


def check_rows(report: ReleaseReport) -> list[CheckRow]:
    """Return the report's checks against earlier results."""
    return [
        CheckRow(
            check=outcome.check,
            step=outcome.step,
            state=outcome.state.value.replace("_", " "),
            tone=TONES[outcome.state],
            text=outcome.text,
            baseline=f"run {outcome.baseline_run}, {moment(outcome.baseline_at)}"
            if outcome.baseline_run and outcome.baseline_at
            else ABSENT,
        )
        for outcome in report.checks
    ]


def waiver_lines(report: ReleaseReport) -> list[str]:
    """Return what was waived why and until when, the verdict without it, and waivers that did nothing."""
    lines = [f"{item.text} (waived until {item.expires}: {item.reason})" for item in report.waived]
    if report.waived and report.verdict_without_waivers:
        lines.append(f"Without waivers the verdict is {report.verdict_without_waivers}.")
    return lines + [f"{note[:1].upper()}{note[1:]}." for note in report.waiver_notes]
