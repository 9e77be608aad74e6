"""Full or reduced against base: what the ratio is taken over, when it is too small, and what limits it."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.assets.release.benchmark import (
    not_passed_on_base,
    ratio_limits,
    throughput_ratios,
    without_ratio,
)
from flagrelease_assets.contracts.benchmark import BenchmarkDoubt, DoubtKind, Performance, ProfileResult
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.regression import too_slow

CONFIG = {"version": "0.24.0", "arguments": {"max_model_len": 2048}, "kv_cache_tokens": 100_000}


def performance(config: dict[str, Any] | None = None, **throughputs: dict[str, float]) -> Performance:
    profiles = [
        ProfileResult(
            name=name, input_len=1, output_len=1, num_prompts=1, status="PASS", metrics=dict(metrics)
        )
        for name, metrics in throughputs.items()
    ]
    server = {"effective_config": config} if config else {}
    return Performance(status=Status.PASS, profiles=profiles, server=server)


def test_the_smaller_of_both_throughputs_is_a_profiles_ratio() -> None:
    full = performance(short={"throughput_tok_s": 90.0, "total_tok_s": 150.0})
    base = performance(short={"throughput_tok_s": 100.0, "total_tok_s": 200.0})
    assert throughput_ratios(full, base) == {"short": 0.75}


def test_only_a_ratio_below_the_threshold_is_too_slow() -> None:
    assert too_slow({"at": 0.80, "above": 1.2}) == []
    assert too_slow({"below": 0.799}) == ["below: 0.799 of base's throughput, at least 0.80 is asked"]


def test_a_profile_measured_on_one_stack_only_has_no_ratio_and_that_is_said() -> None:
    full = performance(short={"throughput_tok_s": 90.0}, long={"throughput_tok_s": 5.0}, skipped={})
    base = performance(short={"throughput_tok_s": 100.0}, long={}, skipped={})
    assert throughput_ratios(full, base) == {"short": 0.9}
    assert ratio_limits(Stack.FULL, full, base) == ["no ratio for long: good figures on one stack only"]


@pytest.mark.parametrize("status", ["FAIL", "PARTIAL"])
def test_a_profile_that_base_did_not_pass_gives_no_ratio_because_lost_requests_flatter_full(
    status: Any,
) -> None:
    full = performance(short={"throughput_tok_s": 90.0})
    base = performance(short={"throughput_tok_s": 45.0})
    base.profiles[0].status, base.profiles[0].reasons = status, ["55 of 100 requests are lost"]
    assert throughput_ratios(full, base) == throughput_ratios(base, full) == {}
    assert not_passed_on_base(base) == [
        BenchmarkDoubt(
            kind=DoubtKind.BASE_PROFILE_NOT_PASSED,
            text=f"base: profile short is {status}: 55 of 100 requests are lost",
        )
    ]
    assert ratio_limits(Stack.FULL, full, base) == ["no ratio for short: good figures on one stack only"]


@pytest.mark.parametrize("stack", [Stack.FULL, Stack.REDUCED])
def test_what_is_said_of_a_ratio_names_the_stack_that_was_measured(stack: Stack) -> None:
    measured, base = performance(CONFIG, short={"throughput_tok_s": 90.0}), performance()
    [missing] = without_ratio(stack, measured, {})
    assert missing == BenchmarkDoubt(kind=DoubtKind.NO_RATIO, text=f"no {stack}/base ratio for short")
    assert ratio_limits(stack, measured, base)[0].startswith(f"the servers of {stack} and base differ: ")


def test_a_profile_beyond_the_models_context_is_no_fault_of_base() -> None:
    base = performance(long={})
    base.profiles[0].status = "SKIPPED"
    assert not_passed_on_base(base) == []


def test_servers_that_differ_in_more_than_the_stack_are_never_compared_silently() -> None:
    other = {**CONFIG, "arguments": {"max_model_len": 4096}}
    limits = ratio_limits(Stack.FULL, performance(CONFIG), performance(other))
    assert limits == ["the servers of full and base differ: max_model_len: 2048 against 4096"]
    assert ratio_limits(Stack.FULL, performance(CONFIG), performance(CONFIG)) == []


def test_a_configuration_known_of_one_stack_only_is_a_difference() -> None:
    assert "known of one of them only" in ratio_limits(Stack.FULL, performance(CONFIG), performance())[0]
