"""A double of vLLM for tests: no model, no torch, answers at once. Put its folder on PYTHONPATH.

Copied faithfully (vLLM 0.24 and 0.32): the `serve` and `bench serve` command lines as far as the programs
use them; the process tree (API server with an engine core child in the same session); log lines in vLLM's
format, with plugins loaded through entry points under the rule of VLLM_PLUGINS; late binding of the port;
/health (200, empty body), /v1/models with max_model_len, completions and chat with token ids and
log-probabilities, a 400 for a missing chat template; the counters of /metrics, which count a request whoever
sent it; the keys, the details and the printed table of the benchmark, whose client counts an empty answer
as completed;
a server that ends with code 0 after its engine died; a client that exits 0 although every request failed.
Not copied: tokens (words stand for them), speed, streaming (the server tells its client in a header when the
first token would have come).

VLLM_DOUBLE_MODE chooses what goes wrong: healthy, dies_at_start, exits_zero, never_ready, empty_answers,
malformed_answers, wrong_model, hangs_first_request, dies_after_ready, dies_in_benchmark, empty_in_benchmark
(every second answer), miscounts (the engine counts each request twice), no_metrics, oom, garbled,
no_chat_template, ignores_term.
VLLM_DOUBLE_MODE_WITH_PLUGINS, if set, takes its place where VLLM_PLUGINS names a plugin.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

from vllm import answers, logs, plugins

__version__ = "0.32.0+double"


@dataclasses.dataclass
class SamplingParams:
    """Greedy sampling settings."""

    temperature: float = 1.0
    max_tokens: int = 16
    seed: int | None = None
    logprobs: int | None = None


class LLM:
    """The offline engine."""

    def __init__(self, model: str, **keywords: Any) -> None:
        logs.say("MainProcess", f"non-default args: {dict(keywords, model=model)}")
        plugins.load()
        logs.fail_at_start(answers.mode())
        self.model, self.keywords = model, keywords

    def get_tokenizer(self) -> Any:
        """Return something that has, or lacks, a chat template."""
        template = None if answers.mode() == "no_chat_template" else "{{ messages }}"
        return type("Tokenizer", (), {"chat_template": template})()

    def generate(self, prompts: list[str], sampling: SamplingParams, use_tqdm: bool = True) -> list[Any]:
        """Continue raw prompts."""
        return [self._output(prompt, sampling) for prompt in prompts]

    def chat(
        self, messages: list[dict[str, str]], sampling: SamplingParams, use_tqdm: bool = True
    ) -> list[Any]:
        """Answer one chat."""
        return [self._output(messages[-1]["content"], sampling)]

    def _output(self, prompt: str, sampling: SamplingParams) -> Any:
        if answers.mode() == "hangs_first_request":
            time.sleep(float(os.environ.get("VLLM_DOUBLE_HANG_S", "3600")))
        made = answers.answer(prompt, sampling.max_tokens)
        scores = [
            {token: _Score(best, 1), token + 1: _Score(second, 2)}
            for token, (best, second) in zip(made.token_ids, made.scores, strict=True)
        ]
        completion = _Completion(made.text, made.token_ids, made.finish_reason, scores)
        return type("RequestOutput", (), {"outputs": [completion]})()


@dataclasses.dataclass
class _Score:
    logprob: float
    rank: int


@dataclasses.dataclass
class _Completion:
    text: str
    token_ids: list[int]
    finish_reason: str
    logprobs: list[dict[int, _Score]]
