from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts import openai_client
from container_scripts.openai_client import Reply

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("status", "error", "lacks"),
    [
        (400, 'HTTP 400: {"error": {"message": "you must provide a chat template"}}', True),
        (
            400,
            'HTTP 400: {"error": {"message": "Out of range float values are not JSON compliant: nan"}}',
            False,
        ),
        (500, "HTTP 500: chat template", False),
        (None, "URLError: timed out", False),
    ],
)
def test_only_the_missing_chat_template_excuses_a_chat(status: int | None, error: str, lacks: bool) -> None:
    assert openai_client.lacks_chat_template({"http_status": status, "error": error}) is lacks


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Paris."}, "Paris."),
        ({"content": None, "reasoning": "Let me think"}, "Let me think"),
        ({"content": "", "reasoning_content": "Hm"}, "Hm"),
        ({"content": None}, ""),
    ],
)
def test_the_thoughts_of_a_model_cut_short_while_thinking_are_its_answer(
    message: dict[str, Any], text: str
) -> None:
    body = {"choices": [{"message": message, "finish_reason": "length", "logprobs": None}]}
    assert openai_client.content_of(body, "chat")["text"] == text


def test_tokens_scores_and_gap_of_a_completion_are_taken_position_by_position() -> None:
    scores = {
        "tokens": ["token_id:7042", "token_id:30"],
        "token_logprobs": [-0.25, None],
        "top_logprobs": [{"token_id:7042": -0.25, "token_id:9": -2.75}, {"token_id:30": -0.5}],
    }
    body = {"choices": [{"text": " Paris.", "finish_reason": "length", "logprobs": scores}]}
    record = openai_client.content_of(body, "completion")
    assert record["token_ids"] == [7042, 30]
    assert record["logprobs"] == [-0.25, None]
    assert record["top2_gap"] == [2.5, None]


def test_tokens_given_as_text_by_an_older_server_are_no_ids() -> None:
    scores = {"tokens": [" Paris"], "token_logprobs": [-0.1], "top_logprobs": [None]}
    body = {"choices": [{"text": " Paris", "logprobs": scores}]}
    assert openai_client.content_of(body, "completion")["token_ids"] == []


@given(st.lists(st.floats() | st.none()))
def test_the_gap_is_never_negative_and_never_made_of_non_finite_numbers(values: list[float | None]) -> None:
    gap = openai_client.gap_of_best_two(values)
    assert gap is None or gap >= 0


@given(JSON.map(str) | st.text())
def test_a_body_that_is_no_object_is_an_empty_one(text: str) -> None:
    assert isinstance(Reply(200, text, None).json(), dict)
