"""The report of one release as Markdown, for the Dagster UI, an issue or a mail.

Belongs here: sections, tables, and making foreign text harmless in Markdown.
Does not belong here: what the rows say (facts), the HTML page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from flagrelease_assets.contracts import ReleaseReport, StepDocument
from flagrelease_assets.reporting import facts
from flagrelease_assets.reporting.against_history import check_rows, waiver_lines
from flagrelease_assets.reporting.documents import ReleaseDocuments
from flagrelease_assets.reporting.operators import SearchAccount, search_accounts
from flagrelease_assets.reporting.text import (
    ABSENT,
    clip,
    duration,
    milliseconds,
    moment,
    number,
    one_line,
    plain,
    stack_words,
)

MARKS = {"PASS": "✅", "PARTIAL": "🟡", "FAIL": "❌", "SKIPPED": "⏭️", "BLOCKED": "⛔", "MISSING": "❔"}
LONGEST_ANSWER = 600
EVIDENCE_LINES = 3
LONGEST_EVIDENCE = 300

_PUNCTUATION = re.compile(r"([\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_]))")
_LINE_START = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])(?=[-+=\s]|$)")
_RULE = re.compile(r"[|: -]+")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def report_markdown(report: ReleaseReport, documents: Mapping[str, StepDocument]) -> str:
    """Return the whole report; ``documents`` holds the steps' documents by step, as far as they exist."""
    release = ReleaseDocuments(report, documents)
    sections = [
        _verdict(report),
        _findings(report),
        _bullets("Waivers", waiver_lines(report), "") if waiver_lines(report) else "",
        _bullets("Notes", report.notes, "") if report.notes else "",
        _steps(report),
        _packages(release),
        _stack(release),
        _operators(release),
        _samples(release),
        _performance(release),
        _against_history(report),
        _errors(release),
        _environment(release),
        _reproduce(report),
        _bullets("What this evidence cannot prove", report.cannot_prove, "The report states no limits."),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def escape(text: str) -> str:
    """Return foreign text as one line that Markdown shows as it is: no markup, no HTML, no table border."""
    line = _PUNCTUATION.sub(r"\\\1", one_line(text)).translate(_HTML)
    return _LINE_START.sub(r"\1\\\2\3", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every cell is escaped."""
    lines = [head, ["-"] * len(head), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list of foreign texts; every one is escaped."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def harmless_table(written: str) -> str:
    """Return a Markdown table that a worker wrote, with every cell and every other line escaped."""
    lines = plain(written).splitlines()
    return "\n".join(line if _RULE.fullmatch(line) else _harmless_row(line) for line in lines)


def _harmless_row(line: str) -> str:
    cells = line.strip().removeprefix("|").removesuffix("|").split("|")
    return f"| {' | '.join(map(escape, cells))} |" if line.lstrip().startswith("|") else escape(line)


def _verdict(report: ReleaseReport) -> str:
    title = f"# {_mark(report.status)}: {escape(report.model)} on {escape(report.vendor)}"
    stack = report.steps.model_verify.recommended_stack
    profiles = escape(report.steps.perf_test.profiles_passed)
    line = (
        f"Release with: **{stack_words(stack)}** · profiles passed: **{profiles}** · "
        f"{moment(report.created_at)} · run {escape(report.run_id)}"
    )
    conclusion = escape(report.conclusion or report.reason or "No conclusion is stored.")
    return "\n\n".join([title, f"**{conclusion}**", line])


def _findings(report: ReleaseReport) -> str:
    return _bullets("Findings", report.findings, "") if report.findings else ""


def _steps(report: ReleaseReport) -> str:
    rows = [
        (
            line.step,
            _mark(line.status),
            duration(line.duration_s or None),
            line.reused_from_run or "",
            " ".join(
                filter(
                    None,
                    [line.reason, f"(blocked by {', '.join(line.blocked_by)})" if line.blocked_by else ""],
                )
            ),
        )
        for line in report.step_lines
    ]
    return _section(
        "Steps", table(("Step", "Status", "Time", "Reused from run", "Reason"), rows) if rows else ""
    )


def _packages(release: ReleaseDocuments) -> str:
    rows = [
        (
            row.name,
            _mark(row.status),
            row.version,
            row.provider,
            row.commit,
            row.required,
            "; ".join(filter(None, [row.reason, *(f"changed {change}" for change in row.changed)])),
        )
        for row in facts.package_rows(release)
    ]
    head = ("Package", "Status", "Version", "Provided by", "Commit", "Need", "How")
    return _section("Packages", table(head, rows) if rows else "")


def _stack(release: ReleaseDocuments) -> str:
    recommended, diff = release.recommended, release.diff
    stack = release.report.steps.model_verify.recommended_stack
    why = (recommended.why or recommended.reason or "") if recommended else ""
    lines = [f"**{stack_words(stack)}**: {escape(why) or 'no reason is stored.'}"]
    if diff:
        component = f" through {diff.multichip_component}" if diff.multichip_component else ""
        lines.append(escape(f"Comparison of the runs: {diff.conclusion}{component}. {diff.detail}"))
    return _section("Recommended stack", "\n\n".join(lines))


def _operators(release: ReleaseDocuments) -> str:
    searches = [_search(account) for account in search_accounts(release)]
    return _section("Guilty operators", "\n\n".join(searches)) if searches else ""


def _search(account: SearchAccount) -> str:
    rows = [
        (str(row.number), row.operators, f"{MARKS[row.status]} {row.outcome}", row.time, row.reason)
        for row in account.trials
    ]
    head = ("Start", "Operators", "Outcome", "Time", "What was seen")
    return "\n\n".join([escape(account.summary), *([table(head, rows)] if rows else [])])


def _samples(release: ReleaseDocuments) -> str:
    rows = [
        (
            f"{sample.run} ({sample.stack})",
            _mark(sample.status),
            sample.prompt or ABSENT,
            clip(sample.answer, LONGEST_ANSWER) if sample.answer else f"no answer: {sample.reason}",
        )
        for sample in facts.samples(release)
    ]
    return _section("Answers", table(("Run", "Status", "Prompt", "Answer"), rows))


def _performance(release: ReleaseDocuments) -> str:
    head = (
        *("Profile", "In → out, requests", "Req/s", "Tok/s", "TTFT mean", "TTFT P99"),
        *("TPOT mean", "TPOT P99", "E2E P99", "Status", "Reason"),
    )
    rows = [
        (
            row.name,
            row.size + (f" (scaled from {row.full_size})" if row.full_size else ""),
            number(row.requests_per_s),
            number(row.tokens_per_s),
            milliseconds(row.ttft_mean_ms),
            milliseconds(row.ttft_p99_ms),
            milliseconds(row.tpot_mean_ms),
            milliseconds(row.tpot_p99_ms),
            milliseconds(row.latency_p99_ms),
            _mark(row.status),
            row.reason,
        )
        for row in facts.profile_rows(facts.profile_results(release))
    ]
    if not rows:
        return _section("Performance", "No profile was measured.")
    said = escape(facts.against_base(release))
    return _section("Performance", table(head, rows) + (f"\n\n{said}" if said else ""))


def _against_history(report: ReleaseReport) -> str:
    rows = [
        (row.check, row.step, f"{MARKS[row.tone]} {row.state}", row.text, row.baseline)
        for row in check_rows(report)
    ]
    head = ("Check", "Step", "State", "What was seen", "Last good result")
    return _section("Against earlier results", table(head, rows)) if rows else ""


def _errors(release: ReleaseDocuments) -> str:
    rows = [
        (
            error.step,
            error.phase or "",
            f"{error.layer} {facts.LAYERS[error.layer]}",
            error.component,
            error.category,
            error.cause + (" (fatal)" if error.fatal else ""),
            " / ".join(
                f"{line.source}:{line.line} {clip(line.text, LONGEST_EVIDENCE)}"
                for line in error.evidence[:EVIDENCE_LINES]
            ),
        )
        for found in facts.errors_by_layer(release.errors).values()
        for error in found
    ]
    head = ("Step", "Phase", "Layer", "Component", "Category", "Cause", "Evidence")
    return _section("Errors", table(head, rows) if rows else "No error was recorded.")


def _environment(release: ReleaseDocuments) -> str:
    named = [*facts.release_facts(release), *facts.environment_facts(release)]
    parts = [table(("What", "Value"), [(fact.name, fact.value) for fact in named])]
    versions = [(row.name, row.run_a, row.run_b) for row in facts.version_rows(release)]
    if versions:
        parts.append(table(("Component", "Run A", "Run B"), versions))
    return _section("Environment and versions", "\n\n".join(parts))


def _reproduce(report: ReleaseReport) -> str:
    commands = plain("\n".join(report.reproduce))
    longest_run = max(map(len, re.findall(r"`+", commands)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return _section("Reproduce", f"{fence}sh\n{commands}\n{fence}" if commands else "")


def _bullets(title: str, lines: Iterable[str], otherwise: str) -> str:
    return _section(title, bullets(lines) or otherwise)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body or 'Nothing was recorded.'}"


def _mark(status: str) -> str:
    return f"{MARKS.get(status, MARKS['MISSING'])} {status}"
