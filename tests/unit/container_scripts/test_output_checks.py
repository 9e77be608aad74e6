from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts import output_checks

DATA = Path(__file__).parents[2] / "data" / "h200"


def recorded(name: str) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads((DATA / "greedy" / f"{name}.json").read_text())
    return answers


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"prompt_id": "p", "text": text, "logprobs": [-0.1], **more}


def test_no_answers_fail_every_gate_because_emptiness_is_a_finding() -> None:
    checks = output_checks.check_answers([])
    assert [checks[name]["ok"] for name in ("non_empty", "finite_logprobs", "not_degenerate")] == [False] * 3
    assert checks["anchor"]["ok"] is None


@pytest.mark.parametrize("text", ["", "  \n\t", None])
def test_white_space_is_not_an_answer(text: str | None) -> None:
    checks = output_checks.check_answers([{**answer("x"), "text": text}, answer("Paris")])
    assert not checks["non_empty"]["ok"]


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf")])
def test_one_non_finite_log_probability_fails_the_run(value: float | None) -> None:
    assert not output_checks.check_finite_logprobs([answer("x", logprobs=[-0.5, value])])["ok"]


def test_a_run_without_log_probabilities_proves_nothing_and_fails() -> None:
    assert not output_checks.check_finite_logprobs([answer("x", logprobs=[])])["ok"]


def test_sane_answers_of_a_real_card_are_not_degenerate() -> None:
    assert output_checks.check_not_degenerate(recorded("plugin-a"))["ok"]


@pytest.mark.parametrize("name", ["B-1", "plugin-eC"])
def test_answers_of_broken_operators_on_a_real_card_are_degenerate(name: str) -> None:
    assert not output_checks.check_not_degenerate(recorded(name))["ok"]


@pytest.mark.parametrize("text", ["!" * 40, "the a " * 20, "\ufffd" * 3 + "ab"])
def test_repetition_and_undecodable_text_are_degenerate_without_token_ids(text: str) -> None:
    assert output_checks.degeneracy({"prompt_id": "p", "text": text}) is not None


def test_many_degenerate_answers_are_counted_and_two_of_them_named() -> None:
    answers = [{"prompt_id": name, "text": "na " * 40} for name in ("one", "two", "three", "four")]
    detail = output_checks.check_not_degenerate(answers)["detail"]
    assert detail.startswith("4 of 4 answers are degenerate (one: ")
    assert "; two: " in detail
    assert detail.endswith("; 2 more)")


def test_a_short_answer_is_not_called_degenerate_because_it_cannot_be_told() -> None:
    assert output_checks.degeneracy(answer("Paris. Paris.", token_ids=[7, 7])) is None


def test_the_anchor_informs_and_does_not_gate() -> None:
    checks = output_checks.check_answers([answer("Berlin it is", anchors=["Paris"])])
    assert checks["anchor"]["ok"] is False
    assert output_checks.failed_gates(checks) == []


def test_any_of_the_accepted_words_is_the_known_answer() -> None:
    assert output_checks.check_anchor([answer("巴黎。", anchors=["Paris", "巴黎"])])["ok"]


def test_random_weights_may_be_allowed_to_repeat_but_not_to_be_silent() -> None:
    checks = output_checks.check_answers([answer("!" * 40), answer("")])
    assert len(output_checks.failed_gates(checks, allow_degenerate=True)) == 1


@given(st.lists(st.integers(0, 50), max_size=64))
def test_degeneracy_depends_on_what_repeats_not_on_which_token(ids: list[int]) -> None:
    first = output_checks.degeneracy({"prompt_id": "p", "text": "x y", "token_ids": ids})
    shifted = output_checks.degeneracy({"prompt_id": "p", "text": "x y", "token_ids": [i + 9 for i in ids]})
    assert first == shifted
