"""The double's Prometheus page: the counters of a real one, in its format."""

from __future__ import annotations

import threading

REASONS = ("stop", "length", "abort", "error", "repetition")


class EngineCounters:
    """What one engine has done since its start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._prompt_tokens = self._output_tokens = 0
        self._seconds_to_first_token = 0.0

    def count(self, usage: dict[str, int], seconds_to_first_token: float) -> None:
        """Count one finished request."""
        with self._lock:
            self._requests += 1
            self._prompt_tokens += usage["prompt_tokens"]
            self._output_tokens += usage["completion_tokens"]
            self._seconds_to_first_token += seconds_to_first_token

    def page(self, model: str) -> str:
        """Return the page."""
        labels = f'engine="0",model_name="{model}"'
        lines = [
            "# HELP vllm:prompt_tokens_total Number of prefill tokens processed.",
            "# TYPE vllm:prompt_tokens_total counter",
            f"vllm:prompt_tokens_total{{{labels}}} {float(self._prompt_tokens)}",
            f"vllm:prompt_tokens_created{{{labels}}} 1.7952596910761044e+09",
            f"vllm:generation_tokens_total{{{labels}}} {float(self._output_tokens)}",
        ]
        for reason in REASONS:
            finished = self._requests if reason == "length" else 0
            marked = f'engine="0",finished_reason="{reason}",model_name="{model}"'
            lines.append(f"vllm:request_success_total{{{marked}}} {float(finished)}")
        lines += [
            f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="+Inf",model_name="{model}"}} 1.0',
            f"vllm:time_to_first_token_seconds_count{{{labels}}} {float(self._requests)}",
            f"vllm:time_to_first_token_seconds_sum{{{labels}}} {self._seconds_to_first_token}",
        ]
        return "\n".join(lines) + "\n"
