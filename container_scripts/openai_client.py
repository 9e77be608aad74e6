"""Requests to an OpenAI-compatible server on this machine: health, models, completion, chat.

Belongs here: HTTP with deadlines, and turning an answer into the record that documents hold.
Does not belong here: starting servers, or judging answers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from container_scripts.prompts import Prompt

PROBE_TIMEOUT_S = 10.0
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading an answer of another shape than OpenAI's raises."""
_TOKEN_ID_PREFIX = "token_id:"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: status (None if there was none), body text, error (None if there was an answer)."""

    status: Optional[int]
    text: str
    error: Optional[str]

    @property
    def refused(self) -> bool:
        """Whether nobody listens on the port."""
        return self.status is None and "Connection refused" in (self.error or "")

    def json(self) -> Dict[str, Any]:
        """Return the body as a JSON object; anything else is an empty one."""
        try:
            body = json.loads(self.text)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class OpenAIClient:
    """A client for one server; proxies of the environment are not used, since the server is local."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def request(
        self, path: str, body: Optional[Dict[str, Any]] = None, timeout_s: float = PROBE_TIMEOUT_S
    ) -> Reply:
        """Send GET, or POST if there is a body, and have the whole answer within ``timeout_s`` seconds.

        No exception leaves here. However slowly the server drips, the connection is cut at the deadline.
        """
        deadline = time.monotonic() + timeout_s
        try:
            reply = self._exchange(path, body, deadline)
        except Exception as error:  # http.client raises its own family for a connection cut short
            reply = Reply(None, "", f"{type(error).__name__}: {error}")
        if time.monotonic() >= deadline:
            return Reply(None, "", f"TimeoutError: timed out after {timeout_s:g} s")
        return reply

    def _exchange(self, path: str, body: Optional[Dict[str, Any]], deadline: float) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection = http.client.HTTPConnection(*self._address, timeout=deadline - time.monotonic())
        with contextlib.closing(connection):
            connection.connect()
            cutter = threading.Timer(deadline - time.monotonic(), _cut, [connection.sock])
            cutter.daemon = True
            cutter.start()
            try:
                connection.request("GET" if data is None else "POST", path, data, headers)
                with connection.getresponse() as answer:
                    return Reply(answer.status, answer.read().decode("utf-8", "replace"), None)
            finally:
                cutter.cancel()

    def health(self) -> Reply:
        """Ask ``/health``: status 200 with an empty body means healthy."""
        return self.request("/health")

    def models(self) -> Tuple[List[str], Dict[str, Any]]:
        """Return the ids of the served models and the first entry (which may hold ``max_model_len``)."""
        entries = [
            entry for entry in self.request("/v1/models").json().get("data", []) if isinstance(entry, dict)
        ]
        return [str(entry.get("id")) for entry in entries], (entries[0] if entries else {})

    def answer(
        self, model: str, prompt: Prompt, max_tokens: int, seed: int, timeout_s: float
    ) -> Dict[str, Any]:
        """Send one prompt greedily and return its record: status, text, tokens, log-probabilities."""
        body: Dict[str, Any] = {
            "model": model,
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": seed,
            "return_tokens_as_token_ids": True,
        }
        if prompt.kind == "chat":
            path = "/v1/chat/completions"
            body.update(messages=[{"role": "user", "content": prompt.text}], logprobs=True, top_logprobs=2)
        else:
            path = "/v1/completions"
            body.update(prompt=prompt.text, logprobs=2)
        clock = time.monotonic()
        reply = self.request(path, body, timeout_s)
        record: Dict[str, Any] = {
            "prompt_id": prompt.id,
            "prompt": prompt.text,
            "kind": prompt.kind,
            "http_status": reply.status,
            "latency_ms": round(1000 * (time.monotonic() - clock), 1),
            "text": None,
            "finish_reason": None,
            "usage": None,
            "token_ids": [],
            "logprobs": [],
            "top2_gap": [],
            "error": reply.error,
        }
        if reply.status == 200:
            try:
                record.update(content_of(reply.json(), prompt.kind))
            except MALFORMED as error:
                record["error"] = f"malformed answer (HTTP 200, {error!r}): {reply.text[:200]}"
        elif reply.status is not None:
            record["error"] = f"HTTP {reply.status}: {reply.text[:2000]}"
        return record


def _cut(connected: socket.socket) -> None:
    """End whatever waits for this socket."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def lacks_chat_template(record: Dict[str, Any]) -> bool:
    """Whether a chat request was turned down because the model has no chat template."""
    status = record.get("http_status") or 0
    return 400 <= status < 500 and "chat template" in str(record.get("error")).lower()


def finite_or_none(value: Any) -> Optional[float]:
    """Return a finite number rounded to 6 places, anything else as None (JSON has no NaN)."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return round(float(value), 6)
    return None


def content_of(body: Dict[str, Any], kind: str) -> Dict[str, Any]:
    """Return text, finish reason, usage, token ids and log-probabilities of an answer's first choice.

    Raises one of ``MALFORMED`` if the answer has no choice or another shape than OpenAI's.
    """
    choice = body["choices"][0]
    scores = choice.get("logprobs") or {}
    if kind == "chat":
        message = choice.get("message") or {}
        text = message.get("content") or message.get("reasoning") or message.get("reasoning_content") or ""
        entries = scores.get("content") or []
        tokens = [entry.get("token") for entry in entries]
        chosen = [entry.get("logprob") for entry in entries]
        tops = [[top.get("logprob") for top in entry.get("top_logprobs") or []] for entry in entries]
    else:
        text = choice.get("text") or ""
        tokens = scores.get("tokens") or []
        chosen = scores.get("token_logprobs") or []
        tops = [list((top or {}).values()) for top in scores.get("top_logprobs") or []]
    if not isinstance(text, str):
        raise TypeError(f"the answer's text is {type(text).__name__}")
    return {
        "text": text,
        "finish_reason": choice.get("finish_reason"),
        "usage": body.get("usage"),
        "token_ids": _token_ids(tokens),
        "logprobs": [finite_or_none(value) for value in chosen],
        "top2_gap": [gap_of_best_two(values) for values in tops],
    }


def gap_of_best_two(logprobs: List[Any]) -> Optional[float]:
    """Return by how much (nat) the best log-probability leads the second; None if it cannot be said."""
    best = sorted((value for value in map(finite_or_none, logprobs) if value is not None), reverse=True)
    return round(best[0] - best[1], 6) if len(best) > 1 else None


def _token_ids(tokens: List[Any]) -> List[int]:
    """Return the ids out of ``token_id:N``; an older server answers with texts, which give no ids."""
    if not all(isinstance(token, str) and token.startswith(_TOKEN_ID_PREFIX) for token in tokens):
        return []
    return [int(token[len(_TOKEN_ID_PREFIX) :]) for token in tokens]
