"""What the Markdown and the HTML report must both say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest

from flagrelease_assets.contracts import BenchmarkMetrics, ReleaseReport, StepDocument
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.report import StepLine
from flagrelease_assets.reporting import report_html, report_markdown
from flagrelease_assets.reporting.markdown import escape
from tests.unit.reporting import factories
from tests.unit.reporting.reading import Page

Writer = Callable[[ReleaseReport, Mapping[str, StepDocument]], str]

HOSTILE = "<script>alert(1)</script> | pipe\nnew `tick` \x1b[31mred <img src=x onerror=alert(2)> \"'"


def markdown_text(report: ReleaseReport, documents: Mapping[str, StepDocument]) -> str:
    """Return the Markdown as it reads once shown."""
    shown = re.sub(r"\\([\W_])", r"\1", report_markdown(report, documents))
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def html_text(report: ReleaseReport, documents: Mapping[str, StepDocument]) -> str:
    """Return the visible text of the page."""
    return Page(report_html(report, documents)).text


both = pytest.mark.parametrize("write", [markdown_text, html_text])


@both
@pytest.mark.parametrize("status", [Status.PASS, Status.PARTIAL, Status.FAIL])
def test_verdict_and_conclusion_are_said(write: Writer, status: Status) -> None:
    shown = write(factories.report(status=status, conclusion="It serves.", step_lines=[]), {})
    assert status.value in shown
    assert "It serves." in shown


@both
def test_every_error_is_shown_with_its_place(write: Writer) -> None:
    errors = [
        factories.error(),
        factories.error(layer="0", component="torch", category="driver_missing", cause="no driver was found"),
        factories.error(
            layer="X", component="unknown", category="timeout", cause="over after 600 s", evidence=[]
        ),
    ]
    shown = write(factories.report(errors=errors), {})
    for error in errors:
        assert all(word in shown for word in (error.cause, error.component, error.category, error.step))
    assert "File flag_gems/ops/rms_norm.py, line 88, in rms_norm" in shown


@both
def test_error_that_only_a_step_has_is_not_lost_and_a_repeated_one_is_shown_once(write: Writer) -> None:
    error = factories.error(cause="only the step knows this")
    later = error.model_copy(update={"ts": "2026-03-14T10:00:00+00:00"})
    run = factories.model_run("run_b_result", status=Status.FAIL, errors=[error, later])
    shown = write(factories.report(), {"run_b_result": run})
    assert "only the step knows this" in shown
    assert report_markdown(factories.report(), {"run_b_result": run}).count("only the step knows this") == 1


@both
def test_skipped_and_blocked_steps_say_why(write: Writer) -> None:
    lines = [
        StepLine(step="accuracy_metrics", status=Status.SKIPPED, reason="no evaluator is configured"),
        StepLine(step="run_b_result", status=Status.BLOCKED, blocked_by=["install_status"]),
    ]
    shown = write(factories.report(step_lines=lines), {})
    assert "no evaluator is configured" in shown
    assert "blocked by install_status" in shown


@both
def test_reused_result_names_the_run_that_measured_it(write: Writer) -> None:
    assert "aa11bb22" in write(factories.report(), {})


@both
def test_all_five_profiles_are_there_with_their_figures(write: Writer) -> None:
    shown = write(factories.report(), factories.documents())
    assert all(name in shown for name in factories.PROFILES)
    assert all(
        figure in shown for figure in ("18.4", "2,355", "61.2 ms", "148 ms", "8.10 ms", "12.4 ms", "19.8 s")
    )


@both
def test_the_ratio_to_base_is_said_for_each_profile_with_what_limits_it(write: Writer) -> None:
    documents = factories.documents()
    benchmark = documents["benchmark_metrics"]
    assert isinstance(benchmark, BenchmarkMetrics)
    benchmark.ratios, benchmark.full_to_base_ratio = {"high_concurrency": 0.75}, 0.75
    benchmark.ratio_note = "the servers of full and base differ: dtype: float16 against bfloat16"
    shown = write(factories.report(), documents)
    assert "Throughput of full to base: smallest 0.750 (high_concurrency 0.750)." in shown
    assert "read with care: the servers of full and base differ: dtype: float16 against bfloat16" in shown


@both
def test_the_ratio_of_a_reduced_stack_is_not_said_to_be_of_full(write: Writer) -> None:
    documents = factories.documents()
    benchmark = documents["benchmark_metrics"]
    assert isinstance(benchmark, BenchmarkMetrics)
    benchmark.stack = Stack.REDUCED
    shown = write(factories.report(), documents)
    assert "Throughput of reduced to base: smallest 1.07" in shown
    assert "full against base" not in shown


@both
def test_figures_of_fewer_requests_than_were_sent_say_of_how_many(write: Writer) -> None:
    documents = factories.documents()
    benchmark = documents["benchmark_metrics"]
    assert isinstance(benchmark, BenchmarkMetrics)
    benchmark.performance.profiles[0].metrics["completed_requests"] = 98
    assert "98 of 100" in write(factories.report(), documents)


@both
def test_profiles_come_from_the_report_when_the_step_is_gone(write: Writer) -> None:
    assert "high_concurrency" in write(factories.report(), {})


@both
def test_failed_profile_shows_no_figures_but_its_reason(write: Writer) -> None:
    failed = factories.profile(
        "high_concurrency", status="FAIL", metrics={}, reasons=["not finished in 600 s"]
    )
    shown = write(factories.report(performance_profiles=[failed.model_dump()]), {})
    assert "not finished in 600 s" in shown
    assert "19.8 s" not in shown


@both
def test_unreadable_profile_is_a_failed_row_not_a_crash(write: Writer) -> None:
    shown = write(factories.report(performance_profiles=[{"name": "odd", "metrics": "?"}]), {})
    assert "odd" in shown
    assert "the stored record cannot be read" in shown


@both
def test_scaled_profile_says_its_full_size(write: Writer) -> None:
    size = {"input_len": 4096, "output_len": 128, "num_prompts": 500}
    scaled = factories.profile("long_prefill_short_decode", full_size=size)
    shown = write(factories.report(performance_profiles=[scaled.model_dump()]), {})
    assert "scaled from 4096 → 128 × 500" in shown


@both
def test_missing_documents_are_said_to_be_missing(write: Writer) -> None:
    bare = factories.report(
        conclusion="", step_lines=[], performance_profiles=[], reproduce=[], cannot_prove=[]
    )
    shown = write(bare, {})
    assert "no result of this run is stored" in shown
    assert "No profile was measured" in shown
    assert "states no limits" in shown


@both
def test_each_single_missing_document_is_survived(write: Writer) -> None:
    documents = factories.documents()
    for step in documents:
        rest = {name: document for name, document in documents.items() if name != step}
        assert "PASS" in write(factories.report(), rest)


@both
def test_document_of_another_kind_counts_as_missing(write: Writer) -> None:
    assert "no result of this run is stored" in write(
        factories.report(), {"run_a_result": factories.install_status()}
    )


@both
def test_answers_of_both_runs_stand_side_by_side(write: Writer) -> None:
    documents = factories.documents()
    documents["run_b_result"] = factories.model_run(
        "run_b_result", phase_a_offline=factories.phase("offline", "!!!!!!")
    )
    shown = write(factories.report(), documents)
    assert "Paris. It is the largest city." in shown
    assert "!!!!!!" in shown


@both
def test_versions_environment_and_commands_are_there(write: Writer) -> None:
    shown = write(factories.report(), factories.documents())
    expected = (
        "2.9.0+cu128",
        "NVIDIA H200 (140 GiB)",
        "570.133.20",
        "a09a35458c702b33",
        "vllm/vllm-openai:v0.13.0",
    )
    assert all(
        word in shown for word in (*expected, "flagrelease release nvidia Qwen/Qwen2.5-7B-Instruct --force")
    )


def hostile_release() -> tuple[ReleaseReport, dict[str, StepDocument]]:
    """Return a release in which everything that a model or a log can write is hostile."""
    documents = factories.documents()
    documents["run_a_result"] = factories.model_run(
        "run_a_result",
        reason=HOSTILE,
        phase_a_offline=factories.phase("offline", HOSTILE, versions={"vllm": HOSTILE}, traceback=HOSTILE),
        phase_b_serve=factories.phase(
            "serve", HOSTILE, error=HOSTILE, log_tail=HOSTILE, checks={"anchor": HOSTILE}
        ),
    )
    evidence = [{"source": HOSTILE, "line": 1, "text": HOSTILE}]
    error = factories.error(cause=HOSTILE, category=HOSTILE, phase=HOSTILE, evidence=evidence)
    profile = factories.profile("high_concurrency", name=HOSTILE, status="FAIL", reasons=[HOSTILE])
    documents["benchmark_metrics"] = BenchmarkMetrics(
        **factories.COMMON, status=Status.FAIL, stack=Stack.FULL, performance={"profiles": [profile]}
    )
    report = factories.report(
        errors=[error],
        conclusion=HOSTILE,
        findings=[HOSTILE],
        cannot_prove=[HOSTILE],
        reproduce=["echo '```' " + HOSTILE],
        step_lines=[StepLine(step="run_a_result", status=Status.FAIL, reason=HOSTILE)],
    )
    return report, documents


def test_hostile_text_adds_no_element_and_no_handler_to_the_page() -> None:
    page = Page(report_html(*hostile_release()))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.handlers == []
    assert "<script>alert(1)</script>" in page.text


def test_hostile_text_leaves_markdown_tables_whole() -> None:
    written = report_markdown(*hostile_release())
    outside_code = re.sub(r"(?ms)^(`{3,})sh$.*?^\1$", "", written)
    assert "<script>" not in outside_code
    assert "<img" not in outside_code
    widths: list[int] = []
    for line in outside_code.splitlines():
        if not line.startswith("| "):
            widths = []
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert widths[-1] == widths[0], line
    assert len(re.findall(r"(?m)^````sh$", written)) == 1


def test_no_terminal_escape_sequence_reaches_a_report() -> None:
    for write in (report_markdown, report_html):
        assert "\x1b" not in write(*hostile_release())


def test_page_loads_nothing_and_forbids_loading() -> None:
    source = report_html(*hostile_release())
    page = Page(source)
    assert all(reference.startswith("#") for reference in page.references)
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not any("url(" in style or "@import" in style for style in page.styles)
    assert "default-src 'none'" in source


def test_base_figures_are_drawn_beside_the_full_ones() -> None:
    page = Page(report_html(factories.report(), factories.documents()))
    assert "full stack base stack" in page.text
    assert "The same profiles on the base stack" in page.text


def test_layers_without_errors_stay_visible() -> None:
    page = Page(report_html(factories.report(errors=[factories.error()]), {}))
    assert page.text.count("nothing found") == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.2 s", "4.2 s"),
        ("1. not a list", "1\\. not a list"),
        ("- not a list", "\\- not a list"),
        ("-5", "-5"),
        ("run_a_result", "run_a_result"),
        ("_not emphasis_ a__", "\\_not emphasis\\_ a\\_\\_"),
        ("a|b `c` <d> &amp; [e](f) # *g*", "a\\|b \\`c\\` &lt;d&gt; &amp;amp; \\[e\\](f) \\# \\*g\\*"),
        ("back\\|slash", "back\\\\\\|slash"),
    ],
)
def test_markdown_escapes_what_has_a_meaning_and_leaves_the_rest_readable(text: str, expected: str) -> None:
    assert escape(text) == expected
