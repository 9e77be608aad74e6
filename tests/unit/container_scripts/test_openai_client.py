from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts import openai_client
from container_scripts.openai_client import OpenAIClient, Reply

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
        (None, "TimeoutError: timed out after 5 s", False),
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


@pytest.mark.parametrize("kind", ["chat", "completion"])
@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": None}, {"choices": {}}, {"choices": [None]}, {"choices": ["x"]}]
)
def test_an_answer_without_a_choice_is_malformed_not_empty(body: dict[str, Any], kind: str) -> None:
    with pytest.raises(openai_client.MALFORMED):
        openai_client.content_of(body, kind)


@given(st.dictionaries(st.sampled_from(["text", "message", "logprobs", "finish_reason"]), JSON))
def test_a_choice_of_any_shape_is_read_or_malformed(choice: dict[str, Any]) -> None:
    for kind in ("chat", "completion"):
        with contextlib.suppress(*openai_client.MALFORMED):
            assert isinstance(openai_client.content_of({"choices": [choice]}, kind)["text"], str)


@given(st.lists(st.floats() | st.none()))
def test_the_gap_is_never_negative_and_never_made_of_non_finite_numbers(values: list[float | None]) -> None:
    gap = openai_client.gap_of_best_two(values)
    assert gap is None or gap >= 0


@given(JSON.map(str) | st.text())
def test_a_body_that_is_no_object_is_an_empty_one(text: str) -> None:
    assert isinstance(Reply(200, text, None).json(), dict)


@contextlib.contextmanager
def server_that_drips(head: bytes, drops: int) -> Iterator[OpenAIClient]:
    """Serve one connection: the head of an answer at once, then a byte every 20 ms."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connected, _ = listener.accept()
            with connected, contextlib.suppress(OSError):
                connected.recv(65536)
                connected.sendall(head)
                for _ in range(drops):
                    time.sleep(0.02)
                    connected.sendall(b"x")

        thread = threading.Thread(target=serve)
        thread.start()
        yield OpenAIClient("127.0.0.1", listener.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
    ],
    ids=["body", "body without length", "error body", "header"],
)
def test_a_server_that_drips_bytes_is_cut_off_at_the_deadline(head: bytes) -> None:
    with server_that_drips(head, drops=200) as client:
        reply = client.request("/health", timeout_s=0.2)
    assert (reply.status, reply.error) == (None, "TimeoutError: timed out after 0.2 s")


def test_a_slow_answer_within_the_deadline_is_whole_whatever_its_status() -> None:
    with server_that_drips(b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\n", drops=3) as client:
        assert client.request("/health", timeout_s=60) == Reply(500, "xxx", None)


def test_an_answer_cut_short_by_the_server_is_an_error_not_half_a_body() -> None:
    with server_that_drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", drops=3) as client:
        reply = client.request("/health", timeout_s=60)
    assert reply.status is None and "IncompleteRead" in (reply.error or "")
