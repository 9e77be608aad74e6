from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts import engine_metrics
from container_scripts.bench_client import unmeasured_requests
from container_scripts.engine_metrics import EngineCounters, check_client, read_counters

PAGE = """\
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="t"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="t"} 6.0
vllm:request_success_total{engine="1",finished_reason="length",model_name="t"} 1.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="t"} 5.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="t"} 7.0
vllm:request_success_created{engine="0",finished_reason="stop",model_name="t"} 1.7952596910761044e+09
vllm:prompt_tokens_total{engine="0",model_name="a } b"} 210.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="t",source="local_compute"} 999.0
vllm:generation_tokens_total{engine="0",model_name="t"} 5.6e+01
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="t"} 3.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="t"} 8.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="t"} 0.5
"""
BEFORE = EngineCounters(100.0, 1000.0, 5000.0, 10.0, 100.0)
METRICS = {
    "completed_requests": 50.0,
    "failed_requests": 0.0,
    "total_output_tokens": 800.0,
    "ttft_mean_ms": 210.0,
}


def after(requests: float = 50, output_tokens: float = 800, ttft_s: float = 0.2) -> EngineCounters:
    return EngineCounters(100 + requests, 2000, 5000 + output_tokens, 10 + ttft_s * requests, 100 + requests)


def test_counters_are_summed_over_engines_and_reasons_but_an_aborted_request_is_no_success() -> None:
    assert read_counters(PAGE) == EngineCounters(9.0, 210.0, 56.0, 0.5, 8.0)


def test_names_without_total_are_counted_too_because_vllm_0_9_can_print_them() -> None:
    assert read_counters(PAGE.replace("_total{", "{")) == read_counters(PAGE)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1.0", "many", ""])
def test_a_value_that_is_no_count_is_not_counted(value: str) -> None:
    page = f'vllm:generation_tokens_total{{engine="0"}} {value}\n'
    assert read_counters(page) == EngineCounters()


def test_figures_within_the_tolerances_agree_and_show_them() -> None:
    check = check_client(BEFORE, after(), METRICS, output_len=16)
    assert (check["status"], check["findings"]) == ("AGREE", [])
    assert check["ttft_mean_ms"] == {
        "client": 210.0,
        "engine": 200.0,
        "below": 50.0,
        "above": 550.0,
    }
    assert check["prompt_tokens"] == 1000.0


@pytest.mark.parametrize(
    ("counted", "named"),
    [
        (after(requests=51), "requests"),
        (after(output_tokens=780), "output_tokens"),
        (after(requests=49), "requests"),
        (after(ttft_s=0.3), "ttft_mean_ms"),
    ],
)
def test_a_disagreement_beyond_the_tolerance_names_the_figure(counted: EngineCounters, named: str) -> None:
    check = check_client(BEFORE, counted, METRICS, output_len=16)
    assert check["status"] == "DISAGREE"
    assert any(finding.startswith(named) for finding in check["findings"])


def test_a_client_may_wait_longer_than_the_engine_for_what_the_api_server_takes_in_one_by_one() -> None:
    seen = {**METRICS, "ttft_mean_ms": 700.0}
    assert check_client(BEFORE, after(), seen, output_len=16)["status"] == "AGREE"
    assert check_client(BEFORE, after(), {**seen, "ttft_mean_ms": 800.0}, 16)["status"] == "DISAGREE"


def test_the_clients_probe_and_warm_ups_are_no_disagreement() -> None:
    check = check_client(BEFORE, after(53, 848), METRICS, output_len=16, unmeasured=3)
    assert check["status"] == "AGREE"


def test_a_request_that_failed_for_the_client_may_have_been_finished_by_the_engine() -> None:
    metrics = {**METRICS, "completed_requests": 48.0, "failed_requests": 2.0, "total_output_tokens": 768.0}
    assert check_client(BEFORE, after(50, 800), metrics, output_len=16)["status"] == "AGREE"
    assert check_client(BEFORE, after(48, 768), metrics, output_len=16)["status"] == "AGREE"
    assert check_client(BEFORE, after(51, 816), metrics, output_len=16)["status"] == "DISAGREE"


@pytest.mark.parametrize(
    ("before", "later"),
    [(EngineCounters(), after()), (BEFORE, EngineCounters()), (after(), BEFORE), (BEFORE, BEFORE)],
)
def test_counters_that_are_absent_or_of_another_engine_prove_nothing(
    before: EngineCounters, later: EngineCounters
) -> None:
    check = check_client(before, later, METRICS, output_len=16)
    assert check["status"] == "UNAVAILABLE"
    assert "/metrics" in check["findings"][0]


@pytest.mark.parametrize(
    ("printed", "requests"),
    [
        ("Starting initial single prompt test run...\nSkipping endpoint ready check.\n", 0),
        ("Starting initial single prompt test run...\nInitial test run completed.\n", 1),
        ("Starting initial single prompt test run...\nWarming up with 4 requests...\n", 5),
        ("", 0),
    ],
)
def test_what_the_client_sends_unmeasured_is_read_from_what_it_prints(printed: str, requests: int) -> None:
    assert unmeasured_requests(printed) == requests


@given(st.binary())
def test_no_page_breaks_the_reader(page: bytes) -> None:
    counters = read_counters(page.decode("utf-8", "replace"))
    check = check_client(counters, counters, METRICS, output_len=16)
    assert check["status"] == "UNAVAILABLE"


@given(st.text(), st.text(), st.floats())
def test_no_sample_breaks_the_reader(labels: str, value: str, number: float) -> None:
    for said in (value, str(number)):
        read_counters(f"vllm:generation_tokens_total{{{labels}}} {said}\n")
    assert engine_metrics.read_counters("").requests is None
