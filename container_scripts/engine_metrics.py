"""The engine's own counters, read from its Prometheus page, and whether the client's figures agree with them.

Belongs here: pure reading of a `/metrics` page, and the comparison of two of them with one profile's figures.
Does not belong here: fetching the page, or judging the profile.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

OUTPUT_TOLERANCE = 0.01
"""Share by which output tokens may differ: a client that counts by its tokenizer is off by a few."""
TTFT_TOLERANCE = 0.25
TTFT_SLACK_MS = 50.0
FRONTEND_MS_PER_REQUEST = 10.0
"""The client's TTFT holds the engine's, and what comes before it: all requests arrive at once, and the API
server takes them in one by one. Measured with vLLM 0.32 on two busy CPU cores: 2 ms more per request of a
burst of 8, 5 ms more per request of a burst of 40."""

REQUESTS = ("vllm:request_success_total", "vllm:request_success")
PROMPT_TOKENS = ("vllm:prompt_tokens_total", "vllm:prompt_tokens")
OUTPUT_TOKENS = ("vllm:generation_tokens_total", "vllm:generation_tokens")
TTFT_SUM = ("vllm:time_to_first_token_seconds_sum",)
TTFT_COUNT = ("vllm:time_to_first_token_seconds_count",)

_SAMPLE = re.compile(r"(?P<name>vllm:[a-z_]+)(?P<labels>\{.*\})?[ \t]+(?P<value>\S+)(?:[ \t]+\d+)?\s*")
_NOT_A_SUCCESS = re.compile(r'finished_reason="(?:abort|error)"')


@dataclass(frozen=True)
class EngineCounters:
    """What an engine has counted since its start, over all its labels; None if it does not say."""

    requests: Optional[float] = None
    prompt_tokens: Optional[float] = None
    output_tokens: Optional[float] = None
    ttft_sum_s: Optional[float] = None
    ttft_count: Optional[float] = None


def read_counters(page: str) -> EngineCounters:
    """Return the counters of a `/metrics` page (vLLM 0.9 to 0.32); never raises, whatever the page holds."""
    sums: Dict[str, float] = {}
    for line in page.split("\n"):
        sample = _SAMPLE.fullmatch(line)
        value = _number(sample["value"]) if sample else None
        if sample is None or value is None or _NOT_A_SUCCESS.search(sample["labels"] or ""):
            continue
        sums[sample["name"]] = sums.get(sample["name"], 0.0) + value

    def first(*names: str) -> Optional[float]:
        return next((sums[name] for name in names if name in sums), None)

    return EngineCounters(
        first(*REQUESTS), first(*PROMPT_TOKENS), first(*OUTPUT_TOKENS), first(*TTFT_SUM), first(*TTFT_COUNT)
    )


def unavailable(reason: str) -> Dict[str, Any]:
    """Return the check of a profile whose engine did not say what it counted."""
    return {
        "status": "UNAVAILABLE",
        "requests": None,
        "output_tokens": None,
        "ttft_mean_ms": None,
        "prompt_tokens": None,
        "unmeasured_requests": 0,
        "findings": [reason],
    }


def check_client(
    before: EngineCounters,
    after: EngineCounters,
    metrics: Mapping[str, Optional[float]],
    output_len: int,
    unmeasured: int = 0,
) -> Dict[str, Any]:
    """Compare what the engine counted between two looks with what the client reports of the same time.

    ``unmeasured`` are requests of ``output_len`` tokens that the client sent and does not report (its
    probe and warm-ups). A request that failed for the client may still have been finished by the
    engine. Each figure is ``{client, engine, below, above}``: the last two say how much less or more
    than the engine the client may report. ``status`` is AGREE, DISAGREE (with ``findings``) or UNAVAILABLE.
    """
    counted = {
        "requests": _difference(before.requests, after.requests),
        "output_tokens": _difference(before.output_tokens, after.output_tokens),
        "ttft_mean_ms": _mean_ttft_ms(before, after),
    }
    missing = [name for name, value in counted.items() if value is None]
    if missing:
        return unavailable(f"the engine's /metrics say nothing of {', '.join(missing)}")
    failed = metrics.get("failed_requests") or 0.0
    reported = {
        "requests": _plus(metrics.get("completed_requests"), unmeasured),
        "output_tokens": _plus(metrics.get("total_output_tokens"), unmeasured * output_len),
        "ttft_mean_ms": metrics.get("ttft_mean_ms"),
    }
    few_tokens = OUTPUT_TOLERANCE * (counted["output_tokens"] or 0.0)
    short = max(TTFT_SLACK_MS, TTFT_TOLERANCE * (counted["ttft_mean_ms"] or 0.0))
    allowed = {
        "requests": (failed, 0.0),
        "output_tokens": (few_tokens + failed * output_len, few_tokens),
        "ttft_mean_ms": (short, short + FRONTEND_MS_PER_REQUEST * (counted["requests"] or 0.0)),
    }
    findings: List[str] = []
    figures: Dict[str, Any] = {}
    for name, client in reported.items():
        engine, (below, above) = counted[name] or 0.0, allowed[name]
        figures[name] = {
            "client": client,
            "engine": round(engine, 3),
            "below": round(below, 3),
            "above": round(above, 3),
        }
        if client is None or not engine - below <= client <= engine + above:
            said = "nothing" if client is None else f"{client:.6g}"
            findings.append(
                f"{name}: the client says {said}, the engine {engine:.6g} (allowed -{below:.6g} +{above:.6g})"
            )
    return {
        "status": "DISAGREE" if findings else "AGREE",
        **figures,
        "prompt_tokens": _difference(before.prompt_tokens, after.prompt_tokens),
        "unmeasured_requests": unmeasured,
        "findings": findings,
    }


def _number(text: str) -> Optional[float]:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _difference(before: Optional[float], after: Optional[float]) -> Optional[float]:
    """Return how much a counter grew; a counter that shrank is another engine's."""
    return None if before is None or after is None or after < before else after - before


def _plus(value: Optional[float], more: float) -> Optional[float]:
    return None if value is None else value + more


def _mean_ttft_ms(before: EngineCounters, after: EngineCounters) -> Optional[float]:
    count = _difference(before.ttft_count, after.ttft_count)
    seconds = _difference(before.ttft_sum_s, after.ttft_sum_s)
    return 1000 * seconds / count if seconds is not None and count else None
