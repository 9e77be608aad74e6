from __future__ import annotations

from rich.console import Console, RenderableType

from flagrelease_assets.contracts.common import Status
from flagrelease_assets.contracts.report import StepLine
from flagrelease_assets.reporting import console_summary
from tests.unit.reporting import factories


def printed(summary: RenderableType) -> str:
    console = Console(width=140, force_terminal=False)
    with console.capture() as shown:
        console.print(summary)
    return shown.get()


def test_summary_says_verdict_steps_profiles_and_where_the_report_is() -> None:
    shown = printed(console_summary(factories.report(), "/results/report.html"))
    for word in (
        "PASS",
        "nvidia",
        "install_status",
        "5 min 18 s",
        "high_concurrency",
        "4,966",
        "/results/report.html",
    ):
        assert word in shown


def test_skipped_step_says_why() -> None:
    assert "no evaluator is configured" in printed(console_summary(factories.report()))


def test_findings_are_listed() -> None:
    report = factories.report(status=Status.PARTIAL, findings=["4 of 5 profiles passed"])
    assert "◐ 4 of 5 profiles passed" in printed(console_summary(report))


def test_foreign_text_is_neither_markup_nor_terminal_control() -> None:
    lines = [StepLine(step="run_a_result", status=Status.FAIL, reason="[bold]x[/bold] \x1b[2J [/no]")]
    shown = printed(console_summary(factories.report(step_lines=lines, conclusion="[red]c[/red]")))
    assert "[bold]x[/bold] [/no]" in shown
    assert "[red]c[/red]" in shown
    assert "\x1b[2J" not in shown


def test_report_without_steps_or_profiles_is_still_a_verdict() -> None:
    shown = printed(
        console_summary(factories.report(status=Status.FAIL, step_lines=[], performance_profiles=[]))
    )
    assert "FAIL" in shown
    assert "Profile " not in shown
