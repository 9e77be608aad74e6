"""What the double answers: the same words for the same prompt, spoilt as the mode says."""

from __future__ import annotations

import dataclasses
import hashlib
import os

WORDS = [
    "the",
    "sky",
    "small",
    "village",
    "river",
    "old",
    "stone",
    "light",
    "wind",
    "garden",
    "letter",
    "morning",
    "market",
    "bridge",
    "house",
    "number",
    "carries",
    "answers",
    "finds",
    "keeps",
    "turns",
    "writes",
    "opens",
    "under",
    "over",
    "beside",
    "before",
    "after",
    "while",
    "slowly",
    "quietly",
    "blue",
    "green",
    "seven",
    "north",
    "winter",
    "copper",
    "question",
]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A text, its token ids, and for each the best and the second log-probability."""

    text: str
    token_ids: list[int]
    scores: list[tuple[float, float]]
    finish_reason: str


def mode() -> str:
    """Return what is to go wrong; a guilty operator that is not switched off decides, if there is any."""
    usual = os.environ.get("VLLM_DOUBLE_MODE", "healthy")
    if not os.environ.get("VLLM_PLUGINS"):
        return usual
    guilty = set(filter(None, os.environ.get("VLLM_DOUBLE_GUILTY_OPERATORS", "").split(",")))
    if guilty and guilty <= set(os.environ.get("VLLM_FL_FLAGOS_BLACKLIST", "").split(",")):
        return usual
    return os.environ.get("VLLM_DOUBLE_MODE_WITH_PLUGINS", usual)


def answer(prompt: str, max_tokens: int, ignore_eos: bool = False) -> Answer:
    """Answer a prompt with at most ``max_tokens`` words (exactly so many with ``ignore_eos``)."""
    if mode() == "empty_answers" and not ignore_eos:
        return Answer("", [2], [(-0.1, -3.0)], "stop")
    if mode() == "garbled":
        return Answer("!" * max_tokens, [0] * max_tokens, [(-0.5, -1.0)] * max_tokens, "length")
    digest = hashlib.sha256(prompt.encode()).digest()
    count = max_tokens if ignore_eos else min(max_tokens, 24)
    places = [(digest[i % 32] + 7 * i + i // 32) % len(WORDS) for i in range(count)]
    words = [WORDS[place] for place in places]
    if "capital of France" in prompt and words:
        words[0] = "Paris."
    scores = [(-0.1 - place / 100, -2.0 - place / 50) for place in places]
    return Answer(
        " ".join(words), [100 + place for place in places], scores, "length" if ignore_eos else "stop"
    )
