from __future__ import annotations

from typing import Any

from container_scripts.benchmark_metrics import Profile
from container_scripts.benchmark_repeats import combine_repeats
from container_scripts.run_benchmark import empty_document

PROFILE = Profile("small", 16, 8, 4)


def repeat(status: str, rate: float | None = None, **changes: Any) -> dict[str, Any]:
    metrics = {"throughput_tok_s": rate, "itl_p90_ms": None}
    return {**empty_document(PROFILE), "status": status, "metrics": metrics, **changes}


def test_a_single_measurement_is_left_as_it_is() -> None:
    only = repeat("PASS", 10.0)
    assert combine_repeats([only]) is only


def test_the_median_counts_and_the_spread_is_over_it() -> None:
    combined = combine_repeats([repeat("PASS", rate) for rate in (12.0, 10.0, 11.0)])
    assert combined["metrics"] == {"throughput_tok_s": 11.0, "itl_p90_ms": None}
    assert combined["spread"] == {"throughput_tok_s": 0.1818, "itl_p90_ms": None}
    assert [one["metrics"]["throughput_tok_s"] for one in combined["repeats"]] == [12.0, 10.0, 11.0]


def test_a_failed_repeat_gives_no_figure_and_makes_the_profile_partial() -> None:
    failed = repeat("FAIL", 99.0, reasons=["the client left no result"], error="the client left no result")
    combined = combine_repeats([repeat("PASS", 10.0), failed, repeat("PASS", 12.0)])
    assert (combined["status"], combined["error"]) == ("PARTIAL", None)
    assert combined["metrics"]["throughput_tok_s"] == 11.0
    assert combined["reasons"] == ["repeat 2 of 3: the client left no result"]


def test_repeats_that_all_failed_are_a_failure_with_the_first_ones_error() -> None:
    combined = combine_repeats([repeat("FAIL", error="first"), repeat("FAIL", error="second")])
    assert (combined["status"], combined["error"]) == ("FAIL", "first")


def test_the_worst_cross_check_is_shown() -> None:
    checks = [{"status": "AGREE"}, {"status": "DISAGREE"}, None]
    combined = combine_repeats([repeat("PARTIAL", 1.0, engine_check=check) for check in checks])
    assert combined["engine_check"] == {"status": "DISAGREE"}
