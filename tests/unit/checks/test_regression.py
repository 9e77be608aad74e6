"""The noise band and the benchmark's regression: what alerts, what is not judged, and what never matters."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.contracts import BenchmarkMetrics
from flagrelease_assets.contracts.benchmark import BenchmarkDoubt, DoubtKind, Performance
from flagrelease_assets.contracts.checks import CheckFigure, CheckState
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.deployment.checks import CheckSettings, RegressionSettings
from flagrelease_assets.regression import (
    MINIMUM_RATIO,
    Point,
    judge_benchmark,
    judge_figure,
    judge_ratio,
    overall,
)
from tests.unit.checks.history import PROFILE, benchmark, past

SETTINGS = RegressionSettings()
STEADY = [100.0, 101.0, 99.0, 100.5, 99.5]


def points(values: list[float]) -> list[Point]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [Point(value, f"run-{day}", start + timedelta(days=day)) for day, value in enumerate(values)]


def judged(value: Any, history: list[float], *, higher: bool = True, **settings: Any) -> CheckFigure:
    return judge_figure(
        "p", "m", value, points(history), RegressionSettings(**settings), higher_is_better=higher
    )


@pytest.mark.parametrize(
    ("value", "state"),
    [(99.0, "ok"), (98.5, "ok"), (98.3, "alert"), (60.0, "alert"), (0.0, "alert"), (150.0, "ok")],
)
def test_throughput_alerts_outside_the_band_on_its_bad_side_only(value: float, state: str) -> None:
    assert judged(value, STEADY).state == state


@pytest.mark.parametrize(("value", "state"), [(101.5, "ok"), (101.7, "alert"), (60.0, "ok")])
def test_a_latency_is_worse_when_it_grows(value: float, state: str) -> None:
    assert judged(value, STEADY, higher=False).state == state


def test_two_deviations_without_one_per_cent_are_no_alert() -> None:
    still = [100.0, 100.01, 99.99, 100.0, 100.0]
    assert judged(99.1, still).state == CheckState.OK
    assert judged(98.9, still).state == CheckState.ALERT
    assert judged(99.1, still, minimum_percent=0.5).state == CheckState.ALERT


def test_one_per_cent_within_a_wide_band_is_no_alert() -> None:
    noisy = [100.0, 110.0, 90.0, 105.0, 95.0]
    assert judged(88.0, noisy).state == CheckState.OK
    assert judged(88.0, noisy, standard_deviations=1).state == CheckState.ALERT


@pytest.mark.parametrize("number", range(5))
def test_fewer_than_five_results_are_insufficient_however_bad_the_figure_is(number: int) -> None:
    figure = judged(1.0, STEADY[:number])
    assert (figure.state, figure.results) == (CheckState.INSUFFICIENT_DATA, number)
    assert figure.text == f"{number} comparable results, 5 are needed"


def test_the_numbers_are_those_of_the_history() -> None:
    figure = judged(90.0, STEADY)
    assert (figure.value, figure.baseline, figure.baseline_run, figure.results) == (90.0, 99.5, "run-4", 5)
    assert figure.mean == pytest.approx(100.0)
    assert figure.standard_deviation == pytest.approx(0.7906, abs=1e-4)
    assert figure.change_percent == pytest.approx(-9.548, abs=1e-3)


def test_an_alert_does_not_become_the_next_baseline_so_it_does_not_end_by_itself() -> None:
    fallen = [*STEADY, 90.0, 90.0, 90.0]
    figure = judged(90.0, fallen)
    assert figure.state == CheckState.ALERT
    assert (figure.baseline, figure.results) == (99.5, 5)


def test_a_low_last_result_does_not_hide_a_fall_that_the_mean_shows() -> None:
    figure = judged(98.9, [100.0, 100.05, 99.95, 100.0, 100.05, 99.95, 100.0, 99.5])
    assert figure.change_percent == pytest.approx(-0.6, abs=0.01)
    assert figure.state == CheckState.ALERT


def test_an_improvement_is_the_level_that_later_results_are_held_against() -> None:
    better = [*STEADY, *[120.0 + 0.1 * step for step in range(25)]]
    assert judged(110.0, better).state == CheckState.ALERT


NOT_FIGURES = [None, math.nan, math.inf, -math.inf, "fast", 1e300]


@pytest.mark.parametrize("value", NOT_FIGURES)
def test_what_is_no_figure_is_not_applicable_and_never_green(value: Any) -> None:
    assert judged(value, STEADY).state == CheckState.NOT_APPLICABLE


def test_a_history_of_what_is_no_figure_counts_for_nothing() -> None:
    broken = [math.nan, math.inf, -1.0, 0.0, 1e300]
    figure = judged(1.0, broken)
    assert (figure.state, figure.results) == (CheckState.INSUFFICIENT_DATA, 0)


FIGURE = st.floats(min_value=0.01, max_value=1e6)
HISTORY = st.lists(FIGURE, max_size=30)
ANYTHING = st.one_of(st.none(), st.floats(), st.integers())


@given(value=ANYTHING, history=st.lists(st.floats(), max_size=12), higher=st.booleans())
def test_nothing_makes_the_judgement_raise_and_its_document_is_always_storable(
    value: Any, history: list[float], higher: bool
) -> None:
    figure = judged(value, history, higher=higher)
    again = CheckFigure.model_validate_json(figure.model_dump_json())
    assert again == figure, "no figure is lost as NaN or infinity"


@given(value=FIGURE, history=HISTORY, higher=st.booleans(), order=st.randoms(use_true_random=False))
def test_the_order_in_which_history_is_read_is_irrelevant(
    value: float, history: list[float], higher: bool, order: Any
) -> None:
    ordered = points(history)
    shuffled = list(ordered)
    order.shuffle(shuffled)
    judge = [
        judge_figure("p", "m", value, given_points, SETTINGS, higher_is_better=higher)
        for given_points in (ordered, shuffled)
    ]
    assert judge[0] == judge[1]


@given(value=FIGURE, history=HISTORY, higher=st.booleans(), power=st.integers(-8, 8))
def test_the_unit_is_irrelevant(value: float, history: list[float], higher: bool, power: int) -> None:
    scale = 2.0**power  # exact in floating point, so that nothing is rounded across a threshold
    scaled = judged(value * scale, [item * scale for item in history], higher=higher)
    assert scaled.state == judged(value, history, higher=higher).state


@given(value=FIGURE, history=HISTORY, higher=st.booleans(), share=st.floats(0, 1))
def test_a_worse_value_is_never_judged_better(
    value: float, history: list[float], higher: bool, share: float
) -> None:
    worse = max(value * share, 0.001) if higher else value * (1 + share)
    if judged(value, history, higher=higher).state == CheckState.ALERT:
        assert judged(worse, history, higher=higher).state == CheckState.ALERT


@given(value=FIGURE, history=HISTORY, higher=st.booleans())
def test_without_five_results_it_is_never_green(value: float, history: list[float], higher: bool) -> None:
    figure = judged(value, history, higher=higher)
    if len(history) < 5:
        assert figure.state == CheckState.INSUFFICIENT_DATA


@pytest.mark.parametrize(
    ("states", "gravest"),
    [
        ([], "not_applicable"),
        (["ok"], "ok"),
        (["ok", "not_applicable"], "not_applicable"),
        (["ok", "insufficient_data", "not_applicable"], "insufficient_data"),
        (["ok", "alert", "insufficient_data"], "alert"),
    ],
)
def test_the_whole_is_as_grave_as_its_gravest_part(states: list[str], gravest: str) -> None:
    assert overall([CheckState(state) for state in states]) == gravest


def outcome_of(document: BenchmarkMetrics, *history: BenchmarkMetrics, **known: Any) -> Any:
    return judge_benchmark(document, past(*history, document, **known), SETTINGS)


SPEEDS = (1.0, 1.01, 0.99, 1.005, 0.995)
FIVE = [benchmark(number, speed=speed) for number, speed in enumerate(SPEEDS)]


def test_a_benchmark_as_fast_as_before_is_ok_with_the_last_pass_as_its_baseline() -> None:
    outcome = outcome_of(benchmark(9), *FIVE)
    assert outcome.state == CheckState.OK, outcome.text
    assert (outcome.baseline_run, outcome.baseline_at) == ("run-4", FIVE[4].created_at)
    assert {figure.metric for figure in outcome.figures} == {
        "throughput_tok_s",
        "ttft_mean_ms",
        "tpot_mean_ms",
    }


def test_a_slower_benchmark_names_profile_metric_and_change() -> None:
    outcome = outcome_of(benchmark(9, speed=0.9), *FIVE)
    assert outcome.state == CheckState.ALERT
    assert f"{PROFILE} throughput_tok_s -9.5 % against the last good result" in outcome.text
    assert f"{PROFILE} ttft_mean_ms +10.6 %" in outcome.text


def test_a_reused_result_is_no_new_measurement_and_counts_once() -> None:
    reused = [
        FIVE[0].model_copy(update={"run_id": f"run-{number}", "reused_from_run": "run-0"})
        for number in range(20, 26)
    ]
    outcome = outcome_of(benchmark(9), FIVE[0], *reused)
    assert outcome.state == CheckState.INSUFFICIENT_DATA
    assert outcome.figures[0].results == 1


def test_a_reused_result_is_judged_as_when_it_was_measured() -> None:
    slow = benchmark(9, speed=0.9)
    later = [benchmark(number, speed=0.9) for number in range(10, 16)]
    reused = slow.model_copy(update={"run_id": "run-30", "reused_from_run": "run-9"})
    assert outcome_of(reused, slow, *FIVE, *later) == outcome_of(slow, *FIVE)


def others(**changes: Any) -> list[BenchmarkMetrics]:
    return [benchmark(number, speed=speed, **changes) for number, speed in enumerate(SPEEDS)]


CONFIG = {"version": "0.13.0", "max_model_len": 4096, "arguments": {}}


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (others(stack=Stack.BASE), "5 with another stack"),
        (others(profiles=[PROFILE, "high_concurrency"]), "5 with another set of profiles"),
        (others(config={**CONFIG, "max_model_len": 2048}), "5 with another server configuration"),
        (others(tensor_parallel_size=2), "5 with other devices"),
    ],
)
def test_only_like_is_compared_with_like_and_what_is_left_out_is_said(
    history: list[BenchmarkMetrics], reason: str
) -> None:
    document = benchmark(9, config=CONFIG)
    outcome = outcome_of(document, *history)
    assert outcome.state == CheckState.INSUFFICIENT_DATA
    assert reason in outcome.text


def test_another_engine_version_is_compared_because_slower_versions_are_what_is_sought() -> None:
    history = others(config=CONFIG)
    outcome = outcome_of(benchmark(9, speed=0.8, config={**CONFIG, "version": "0.14.0"}), *history)
    assert outcome.state == CheckState.ALERT


def test_another_revision_begins_a_history_of_its_own() -> None:
    outcome = outcome_of(benchmark(9, speed=0.5), *FIVE, revisions={9: "r2"})
    assert outcome.state == CheckState.INSUFFICIENT_DATA
    assert "5 with another model revision" in outcome.text


def test_what_did_not_pass_is_no_history() -> None:
    partial = others(status=Status.PARTIAL)
    assert outcome_of(benchmark(9), *partial).figures[0].results == 0


def doubted(*kinds: DoubtKind) -> list[BenchmarkMetrics]:
    doubts = [BenchmarkDoubt(kind=kind, text="because") for kind in kinds]
    return [item.model_copy(update={"doubts": doubts}) for item in others(status=Status.PARTIAL)]


def test_a_stack_that_is_always_too_slow_against_base_has_a_history_of_its_own() -> None:
    slower = benchmark(9, speed=0.8)
    assert outcome_of(slower, *doubted(DoubtKind.TOO_SLOW)).state == CheckState.ALERT
    more = doubted(DoubtKind.TOO_SLOW, DoubtKind.PROFILE_NOT_MEASURED)
    assert outcome_of(slower, *more).state == CheckState.INSUFFICIENT_DATA


@pytest.mark.parametrize(("status", "results"), [("SKIPPED", 5), ("FAIL", 0), ("PARTIAL", 0)])
def test_only_a_profile_that_is_not_applicable_leaves_the_others_a_history(status: Any, results: int) -> None:
    def with_another(document: BenchmarkMetrics) -> BenchmarkMetrics:
        performance = document.performance
        performance.status, performance.profiles_passed = Status.PARTIAL, "1/2"
        performance.profiles[1].status, performance.profiles[1].reasons = status, ["because"]
        return document.model_copy(update={"status": Status.PARTIAL, "doubts": performance.not_passed})

    history = [with_another(item) for item in others(profiles=[PROFILE, "long"])]
    outcome = outcome_of(with_another(benchmark(9, profiles=[PROFILE, "long"])), *history)
    assert {figure.subject for figure in outcome.figures} == {PROFILE}
    assert {figure.results for figure in outcome.figures} == {results}


def test_an_unreadable_history_is_said() -> None:
    assert "2 stored files that cannot be read" in outcome_of(benchmark(9), unreadable=2).text


def test_results_before_the_accepted_day_do_not_count() -> None:
    settings = RegressionSettings(since=FIVE[3].created_at.date())
    outcome = judge_benchmark(benchmark(9, speed=0.5), past(*FIVE, benchmark(9)), settings)
    assert outcome.figures[0].results == 2


def test_a_profile_that_failed_is_not_judged() -> None:
    document = benchmark(9)
    for profile in document.performance.profiles:
        profile.status = "FAIL"
    outcome = outcome_of(document, *FIVE)
    assert (outcome.state, outcome.text) == (CheckState.NOT_APPLICABLE, "no profile passed")


def ratio_document(status: Status, **ratios: float) -> BenchmarkMetrics:
    return benchmark(1, status=status).model_copy(update={"ratios": ratios})


def test_the_ratio_check_has_the_threshold_of_the_benchmark_step() -> None:
    good = ratio_document(Status.PASS, at=MINIMUM_RATIO, above=1.2)
    slow = ratio_document(Status.PARTIAL, below=0.79, above=1.2)
    alone = ratio_document(Status.PASS)
    states = [judge_ratio(item, past(item), CheckSettings()).state for item in (good, slow, alone)]
    assert states == [CheckState.OK, CheckState.ALERT, CheckState.NOT_APPLICABLE]


def test_a_ratio_is_missing_because_base_failed_and_not_because_it_was_not_measured() -> None:
    alone = ratio_document(Status.PASS)
    failed = alone.model_copy(
        update={"base_performance": Performance(status=Status.FAIL, profiles_passed="0/1")}
    )
    said = [judge_ratio(item, past(item), CheckSettings()).text for item in (alone, failed)]
    assert said[0].endswith("measured on the full stack alone")
    assert said[1].endswith("no profile passed on both stacks (0/0 on full, 0/1 on base)")


@pytest.mark.parametrize("stack", [Stack.FULL, Stack.REDUCED])
def test_the_ratio_check_names_the_stack_that_was_measured(stack: Stack) -> None:
    document = ratio_document(Status.PASS, p=0.9).model_copy(update={"stack": stack})
    text = judge_ratio(document, past(document), CheckSettings()).text
    assert text == f"smallest {stack}/base ratio 0.900"


# vLLM 0.24 with SmolLM2-135M on an H200, 256 tokens in and 128 out, 100 requests: output tokens per second,
# mean TTFT and TPOT in ms, of base with CUDA graphs, base eager, and full with FlagGems on graphs.
GRAPHS = {"throughput_tok_s": 26536.344, "ttft_mean_ms": 168.222, "tpot_mean_ms": 2.355}
EAGER = {"throughput_tok_s": 8831.034, "ttft_mean_ms": 173.151, "tpot_mean_ms": 9.828}
FLAGGEMS = {"throughput_tok_s": 5131.185, "ttft_mean_ms": 1931.148, "tpot_mean_ms": 4.318}


def test_real_figures_of_a_stack_with_flaggems_are_an_alert_in_every_metric_and_in_the_ratio() -> None:
    history = others(figures=GRAPHS)
    outcome = outcome_of(benchmark(9, figures=FLAGGEMS), *history)
    assert [figure.state for figure in outcome.figures] == [CheckState.ALERT] * 3
    ratio = FLAGGEMS["throughput_tok_s"] / GRAPHS["throughput_tok_s"]
    slow = ratio_document(Status.PARTIAL, **{PROFILE: ratio})
    assert "0.193 of base's throughput" in judge_ratio(slow, past(slow), CheckSettings()).text


def test_real_figures_of_an_eager_server_are_not_compared_with_one_on_graphs() -> None:
    history = others(figures=GRAPHS, config={**CONFIG, "execution": "graphs"})
    eager = benchmark(9, figures=EAGER, config={**CONFIG, "execution": "eager"})
    assert outcome_of(eager, *history).state == CheckState.INSUFFICIENT_DATA
