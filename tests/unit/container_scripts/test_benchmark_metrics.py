from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts import benchmark_metrics
from container_scripts.benchmark_metrics import Metrics, Profile

DATA = Path(__file__).parents[2] / "data" / "h200" / "bench"
PROFILE = Profile("short_prefill_short_decode", 256, 128, 100)

TABLE = """\
============ Serving Benchmark Result ============
Successful requests:                     100
Failed requests:                         0
Benchmark duration (s):                  20.00
Total input tokens:                      25600
Total generated tokens:                  12800
Request throughput (req/s):              5.00
Output token throughput (tok/s):         640.00
Peak output token throughput (tok/s):    900.00
Peak concurrent requests:                100.00
Total Token throughput (tok/s):          1920.00
---------------Time to First Token----------------
Mean TTFT (ms):                          150.00
Median TTFT (ms):                        140.00
P99 TTFT (ms):                           300.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          20.00
Median TPOT (ms):                        19.00
P99 TPOT (ms):                           35.00
---------------Inter-token Latency----------------
Mean ITL (ms):                           20.00
Median ITL (ms):                         18.00
P99 ITL (ms):                            60.00
==================================================
"""
END_TO_END = "Mean E2EL (ms): 2690.00\nMedian E2EL (ms): 2600.00\nP99 E2EL (ms): 4000.00\n"


def recorded(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((DATA / name).read_text())
    return result


def good() -> Metrics:
    return benchmark_metrics.metrics_from_text(TABLE + END_TO_END)


def test_the_printed_table_is_read_with_the_labels_vllm_prints() -> None:
    metrics = benchmark_metrics.metrics_from_text(TABLE)
    expected = {
        "completed_requests": 100,
        "failed_requests": 0,
        "duration_s": 20,
        "total_input_tokens": 25600,
        "total_output_tokens": 12800,
        "throughput_req_s": 5,
        "throughput_tok_s": 640,
        "total_tok_s": 1920,
        "ttft_mean_ms": 150,
        "ttft_p50_ms": 140,
        "ttft_p99_ms": 300,
        "tpot_mean_ms": 20,
        "itl_p50_ms": 18,
        "latency_mean_ms": None,
    }
    assert {name: metrics[name] for name in expected} == expected


def test_the_peak_line_is_never_taken_for_the_throughput_even_if_it_comes_first() -> None:
    lines = TABLE.splitlines()
    peak = next(line for line in lines if line.startswith("Peak output"))
    moved = "\n".join([lines[0], peak, *[line for line in lines[1:] if line != peak]])
    assert benchmark_metrics.metrics_from_text(moved)["throughput_tok_s"] == 640


@pytest.mark.parametrize(
    "spoilt",
    [
        TABLE.replace("Total Token", "Total token"),
        "".join(f"\x1b[32m{line}\x1b[0m\n" for line in TABLE.splitlines()),
        "  5%|#    | 5/100\r 50%|## | 50/100\r100%|####| 100/100\n" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("640.00", "1.00") + TABLE,
    ],
    ids=["lower case t", "colours", "progress bars", "carriage returns", "warm-up table first"],
)
def test_variants_of_the_table_give_the_same_figures(spoilt: str) -> None:
    assert benchmark_metrics.metrics_from_text(spoilt) == benchmark_metrics.metrics_from_text(TABLE)


@pytest.mark.parametrize(
    ("printed", "value"), [("1,234.5", 1234.5), ("1e+05", 100000.0), ("-3", -3.0), ("inf", float("inf"))]
)
def test_numbers_are_read_whole(printed: str, value: float) -> None:
    metrics = benchmark_metrics.metrics_from_text(TABLE.replace("150.00", printed))
    assert metrics["ttft_mean_ms"] == value


def test_text_without_a_table_has_no_figures() -> None:
    assert set(benchmark_metrics.metrics_from_text("Successful requests: 100").values()) == {None}


def test_json_and_printed_text_of_one_real_run_agree() -> None:
    from_json = benchmark_metrics.metrics_from_json(recorded("A-256-128-100.json"))
    from_text = benchmark_metrics.metrics_from_text((DATA / "A-256-128-100.txt").read_text())
    assert from_text == pytest.approx(from_json, abs=0.006)


@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_a_good_run_on_a_real_card_passes(suffix: str) -> None:
    if suffix == "json":
        metrics = benchmark_metrics.metrics_from_json(recorded("A-256-128-100.json"))
    else:
        metrics = benchmark_metrics.metrics_from_text((DATA / "A-256-128-100.txt").read_text())
    assert benchmark_metrics.judge_profile(metrics, PROFILE) == benchmark_metrics.Judgement("PASS", ())


def test_100_completed_requests_with_3_percent_of_the_tokens_fail() -> None:
    metrics = benchmark_metrics.metrics_from_json(recorded("B-256-128-100.json"))
    judged = benchmark_metrics.judge_profile(metrics, PROFILE)
    assert judged.status == "FAIL"
    assert "416 output tokens where 12800 were asked" in judged.reasons[0]


def test_all_requests_failed_is_fail_although_the_client_ended_well() -> None:
    metrics = benchmark_metrics.metrics_from_json(recorded("B-4096-128-100.json"))
    judged = benchmark_metrics.judge_profile(metrics, Profile("p", 4096, 128, 100))
    assert judged == benchmark_metrics.Judgement("FAIL", ("0 of 100 requests completed",))


def test_fewer_completed_requests_are_partial_with_the_ratio() -> None:
    metrics = {**good(), "completed_requests": 50.0, "failed_requests": 50.0, "throughput_req_s": 2.5}
    metrics.update(total_output_tokens=6400.0, throughput_tok_s=320.0, total_tok_s=1600.0)
    judged = benchmark_metrics.judge_profile(metrics, PROFILE)
    assert judged == benchmark_metrics.Judgement("PARTIAL", ("50 of 100 requests completed (50%)",))


@pytest.mark.parametrize(
    "name", [*benchmark_metrics.REQUIRED, *benchmark_metrics.REQUIRED_BEYOND_FIRST_TOKEN]
)
@pytest.mark.parametrize("value", [None, float("nan"), 0.0, -1.0])
def test_a_required_figure_that_is_missing_or_impossible_fails(name: str, value: float | None) -> None:
    assert benchmark_metrics.judge_profile({**good(), name: value}, PROFILE).status == "FAIL"


def test_a_truncated_table_fails_and_names_what_is_missing() -> None:
    cut = TABLE[: TABLE.index("-----Time per Output")]
    judged = benchmark_metrics.judge_profile(benchmark_metrics.metrics_from_text(cut), PROFILE)
    assert judged.status == "FAIL"
    assert "tpot_mean_ms is missing" in judged.reasons


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("throughput_req_s", 50.0),
        ("throughput_tok_s", 999.0),
        ("total_tok_s", 640.0),
        ("ttft_p99_ms", 1.0),
        ("completed_requests", 101.0),
    ],
)
def test_figures_that_contradict_each_other_fail(name: str, value: float) -> None:
    assert benchmark_metrics.judge_profile({**good(), name: value}, PROFILE).status == "FAIL"


def test_one_output_token_needs_no_time_per_output_token() -> None:
    metrics = {**good(), "tpot_mean_ms": 0.0, "tpot_p50_ms": 0.0, "tpot_p99_ms": 0.0}
    metrics.update(total_output_tokens=100.0, throughput_tok_s=5.0, total_tok_s=1285.0)
    assert benchmark_metrics.judge_profile(metrics, Profile("p", 256, 1, 100)).status == "PASS"


@pytest.mark.parametrize(
    ("statuses", "overall"),
    [
        ([], "FAIL"),
        (["PASS", "PASS"], "PASS"),
        (["PASS", "FAIL"], "PARTIAL"),
        (["PARTIAL"], "PARTIAL"),
        (["FAIL", "FAIL"], "FAIL"),
        (["PASS", "SKIPPED"], "PARTIAL"),
        (["FAIL", "SKIPPED"], "FAIL"),
        (["SKIPPED"], "SKIPPED"),
    ],
)
def test_status_of_a_set_of_profiles(statuses: list[str], overall: str) -> None:
    assert benchmark_metrics.overall_status(statuses) == overall


def test_the_summary_table_says_of_how_many_requests_the_figures_are() -> None:
    row = {"name": "a", "input_len": 1, "output_len": 2, "num_prompts": 100, "status": "PARTIAL"}
    table = benchmark_metrics.summary_table([{**row, "metrics": {"completed_requests": 98.0}}])
    assert "| a | 1 | 2 | 98/100 |" in table


def test_the_summary_table_shows_a_dash_where_a_profile_has_no_metrics() -> None:
    row = {"name": "p", "input_len": 1, "output_len": 2, "num_prompts": 3, "status": "FAIL", "metrics": None}
    assert benchmark_metrics.summary_table([row]).splitlines()[-1] == (
        "| p | 1 | 2 | 3 | - | - | - | - | - | FAIL |"
    )


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert set(benchmark_metrics.metrics_from_text(text)) == set(benchmark_metrics.METRIC_KEYS)


@given(st.dictionaries(st.sampled_from(["completed", "mean_ttft_ms", "errors"]), st.from_type(object)))
def test_no_result_file_breaks_the_reader(result: dict[str, Any]) -> None:
    metrics = benchmark_metrics.metrics_from_json(result)
    assert set(metrics) == set(benchmark_metrics.METRIC_KEYS)


@given(st.floats(0.01, 1e6), st.integers(1, 500), st.integers(2, 64), st.integers(1, 512))
def test_consistent_figures_always_pass(duration: float, prompts: int, output: int, entered: int) -> None:
    taken, produced = prompts * entered, prompts * output
    metrics: Metrics = {
        **good(),
        "completed_requests": prompts,
        "duration_s": duration,
        "total_input_tokens": taken,
        "total_output_tokens": produced,
        "throughput_req_s": prompts / duration,
        "throughput_tok_s": produced / duration,
        "total_tok_s": (taken + produced) / duration,
    }
    assert benchmark_metrics.judge_profile(metrics, Profile("p", entered, output, prompts)).status == "PASS"
