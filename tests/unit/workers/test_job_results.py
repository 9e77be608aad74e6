"""A result counts only whole and of this very run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.workers.job_results import parse_result

WHOLE = json.dumps({"run_token": "t", "status": "PASS", "nested": {"list": [1, {"text": "a } b"}]}})


def test_whole_document_of_this_run_is_returned() -> None:
    assert parse_result(WHOLE, "t").document == json.loads(WHOLE)


@given(st.integers(0, len(WHOLE) - 1))
def test_every_document_that_stops_early_is_truncated(length: int) -> None:
    result = parse_result(WHOLE[:length], "t")
    assert (result.document, result.problem) == (None, "truncated")


@pytest.mark.parametrize(
    "text",
    ["INFO starting\n" + WHOLE, WHOLE + "\nINFO done", "[]", "null", '"PASS"', "\x7fELF", "[" * 100_000],
    ids=["log before", "log after", "list", "null", "string", "binary", "too deep"],
)
def test_anything_but_one_object_is_not_json(text: str) -> None:
    result = parse_result(text, "t")
    assert (result.document, result.problem) == (None, "not_json")


@pytest.mark.parametrize("text", ["{}", '{"run_token": null}', '{"run_token": "other"}'])
def test_document_of_another_run_is_not_this_runs_result(text: str) -> None:
    assert parse_result(text, "t").problem == "wrong_run"


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert parse_result(text, "t").problem is not None
