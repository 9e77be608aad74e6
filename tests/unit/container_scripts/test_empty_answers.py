from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from container_scripts.empty_answers import without_empty_answers

REAL: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "bench-detailed-toy.json").read_text()
)
FIGURES = [key for key in REAL if key.startswith(("mean_", "median_", "p50_", "p90_", "p99_"))]


def with_empty_request(**changes: Any) -> dict[str, Any]:
    """Return a real result with one more request at its end, answered with nothing."""
    more = {
        "errors": "",
        "output_lens": 0,
        "generated_texts": "",
        "ttfts": 9.0,
        "itls": [],
        "input_lens": 32,
        **changes,
    }
    return {**REAL, **{key: [*REAL[key], value] for key, value in more.items()}, "completed": 7}


@pytest.mark.parametrize("changes", [{}, {"output_lens": 8, "itls": [1.0] * 7}])
def test_without_the_empty_request_the_figures_are_those_of_the_real_ones(changes: dict[str, Any]) -> None:
    cleaned, empty = without_empty_answers(with_empty_request(**changes))
    assert (empty, cleaned["completed"], cleaned["failed"]) == (1, 6, 1)
    assert cleaned["total_output_tokens"] == REAL["total_output_tokens"]
    for key in [*FIGURES, "request_throughput", "output_throughput", "total_token_throughput"]:
        assert cleaned[key] == pytest.approx(REAL[key]), key


def test_a_failed_request_is_not_empty_but_failed() -> None:
    cleaned, empty = without_empty_answers({**with_empty_request(errors="refused"), "completed": 6})
    assert (empty, cleaned["completed"]) == (0, 6)


def test_a_result_of_empty_answers_alone_has_no_completed_request() -> None:
    nothing = {**REAL, "generated_texts": [""] * 6, "output_lens": [0] * 6}
    cleaned, empty = without_empty_answers(nothing)
    assert (empty, cleaned["completed"], cleaned["mean_ttft_ms"]) == (6, 0, None)


@pytest.mark.parametrize("lost", ["errors", "output_lens", "generated_texts", "itls"])
def test_a_result_without_details_is_left_as_it_is(lost: str) -> None:
    result = with_empty_request()
    del result[lost]
    assert without_empty_answers(result) == (result, 0)


def test_a_healthy_result_is_left_as_it_is() -> None:
    assert without_empty_answers(REAL) == (REAL, 0)
