"""The near-tie rule, on made outputs and on recorded ones of sound and broken stacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.output_agreement import compare_outputs, find_defect

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "greedy_outputs.json").read_text("utf-8"))


def output(tokens: list[int], gaps: list[float | None] | None = None, **more: Any) -> dict[str, Any]:
    text = " ".join(f"word{token}" for token in tokens)
    return {"prompt_id": "p", "token_ids": tokens, "text": text, "top2_gap": gaps, **more}


BASE = output([1, 2, 3, 4, 5], [3.0, 0.2, 2.0, 0.5, None])


@pytest.mark.parametrize(
    ("tokens", "verdict"),
    [
        ([1, 2, 3, 4, 5], "AGREE"),
        ([1, 9, 8, 7, 6], "AGREE"),
        ([1, 2, 3, 9, 9], "AGREE"),
        ([1, 2, 9, 4, 5], "DIVERGE"),
        ([9, 2, 3, 4, 5], "DIVERGE"),
        ([1, 2, 3, 4, 9], "NOT_COMPARABLE"),
        ([1, 2], "DIVERGE"),
    ],
)
def test_first_difference_counts_only_above_the_threshold(tokens: list[int], verdict: str) -> None:
    assert compare_outputs([BASE], [output(tokens)]).verdict == verdict


def test_divergence_says_prompt_position_and_gap() -> None:
    found = compare_outputs([BASE], [output([1, 2, 9])]).to_dict()
    first = found["first_divergences"][0]
    assert (first["prompt_id"], first["position"], first["base_gap"]) == ("p", 2, 2.0)
    assert found["threshold_nat"] == 0.5


def test_probable_token_proves_a_large_gap_that_was_not_recorded() -> None:
    base = output([1, 2], None, logprobs=[-0.05, -0.05])
    first = compare_outputs([base], [output([3, 2])]).first_divergences[0]
    assert first.gap_is_bound
    assert first.base_gap == pytest.approx(2.97, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (output([]), "empty"),
        (output([1, 2, 3, 4, 5], logprobs=[-0.1, float("nan"), -0.1, -0.1, -0.1]), "non_finite"),
        (output([1, 2, 3, 4, 5], logprobs=[-0.1, None, -0.1, -0.1, -0.1]), "non_finite"),
        (output([7, 7, 7, 7, 7, 7]), "repetitive"),
        ({"prompt_id": "p", "text": "!!!!"}, "repetitive"),
    ],
)
def test_degenerate_output_always_counts(wrong: dict[str, Any], kind: str) -> None:
    assert find_defect(wrong) == kind
    assert compare_outputs([BASE], [wrong]).verdict == "DIVERGE"


def test_repetition_that_the_base_shows_too_is_the_models_own() -> None:
    loop = output([7, 7, 7, 7, 7, 7])
    assert compare_outputs([loop], [loop]).verdict == "AGREE"


def test_no_outputs_prove_nothing() -> None:
    assert compare_outputs([], []).verdict == "NOT_COMPARABLE"
    assert compare_outputs([BASE], []).verdict == "NOT_COMPARABLE"


def test_text_without_tokens_that_differs_is_not_comparable() -> None:
    a, b = {"prompt_id": "p", "text": "Paris is large"}, {"prompt_id": "p", "text": "Paris is old"}
    assert compare_outputs([a], [b]).verdict == "NOT_COMPARABLE"
    assert compare_outputs([a], [a]).verdict == "AGREE"


@pytest.mark.parametrize(
    ("base", "other"), [("a", "a2"), ("a", "aT"), ("a", "aG"), ("a", "dC"), ("aG", "d2GC")]
)
def test_recorded_sound_stacks_agree(base: str, other: str) -> None:
    assert compare_outputs(RECORDED[base], RECORDED[other]).verdict == "AGREE"


@pytest.mark.parametrize(("base", "other"), [("aG", "eC"), ("A-1", "B-1")])
def test_recorded_broken_stacks_diverge(base: str, other: str) -> None:
    found = compare_outputs(RECORDED[base], RECORDED[other])
    assert (found.verdict, found.identical) == ("DIVERGE", 0)


VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.floats()))
ANY_OUTPUT = st.dictionaries(
    st.sampled_from(["prompt_id", "text", "token_ids", "logprobs", "top2_gap", "finish_reason"]), VALUE
)


@given(st.lists(ANY_OUTPUT), st.lists(ANY_OUTPUT))
def test_malformed_outputs_get_a_verdict(base: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert compare_outputs(base, other).verdict in {"AGREE", "DIVERGE", "NOT_COMPARABLE"}


TOKENS = st.lists(st.integers(0, 50), min_size=1, max_size=20)


@given(TOKENS, TOKENS)
def test_agreement_of_identical_prompts_is_symmetric(a: list[int], b: list[int]) -> None:
    one, two = compare_outputs([output(a)], [output(b)]), compare_outputs([output(b)], [output(a)])
    assert one.identical == two.identical
