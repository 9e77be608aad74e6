"""What every form of the report says of waivers, notes and the checks against earlier results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.checks import CheckOutcome, CheckState, WaivedFinding
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.reporting import console_summary
from tests.unit.reporting import factories
from tests.unit.reporting.test_console import printed
from tests.unit.reporting.test_report import html_text, markdown_text

WAIVED = WaivedFinding(
    text="run_b_result: FAIL: mm: unsupported dtype",
    reason="fixed in 4.3, ticket 7",
    expires=date(2026, 7, 1),
)
CHECKS = [
    CheckOutcome(
        check="regression",
        step="benchmark_metrics",
        state=CheckState.ALERT,
        text="high_concurrency throughput_tok_s -9.5 % against the last good result",
        baseline_run="aa11bb22",
        baseline_at=datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
    ),
    CheckOutcome(
        check="output_drift",
        step="run_a_result",
        state=CheckState.INSUFFICIENT_DATA,
        text="there is no earlier comparable result",
    ),
]


def console_text(report: ReleaseReport, _documents: object) -> str:
    return " ".join(printed(console_summary(report)).split())


pages = pytest.mark.parametrize("write", [markdown_text, html_text])
everywhere = pytest.mark.parametrize("write", [markdown_text, html_text, console_text])
Writer = Callable[[ReleaseReport, dict[str, object]], str]


@everywhere
def test_what_is_waived_is_said_with_reason_last_day_and_the_verdict_without_it(write: Writer) -> None:
    shown = write(
        factories.report(
            waived=[WAIVED],
            verdict_without_waivers=Status.PARTIAL,
            waiver_notes=["the waiver of regression (noise) expired on 2026-01-01: it counts no more"],
        ),
        {},
    )
    assert "mm: unsupported dtype (waived until 2026-07-01: fixed in 4.3, ticket 7)" in shown
    assert "Without waivers the verdict is PARTIAL." in shown
    assert "The waiver of regression (noise) expired on 2026-01-01: it counts no more." in shown


@everywhere
def test_a_report_without_waivers_does_not_speak_of_them(write: Writer) -> None:
    assert "aiver" not in write(factories.report(verdict_without_waivers=Status.PASS), {})


@everywhere
def test_a_note_is_shown_although_it_does_not_count(write: Writer) -> None:
    assert "install_drift: torch" in write(factories.report(notes=["install_drift: torch"]), {})


@pages
def test_the_checks_are_shown_with_state_and_the_result_that_they_were_held_against(write: Writer) -> None:
    shown = write(factories.report(checks=CHECKS), {})
    for word in ("Against earlier results", "alert", "-9.5 %", "run aa11bb22", "insufficient data"):
        assert word in shown
