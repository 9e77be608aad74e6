"""Benchmark figures: read from what `vllm bench serve` leaves, judged, and laid out as a table.

Belongs here: pure reading and judgement of one profile's figures, and the status of a set of profiles.
Does not belong here: running the client.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

Metrics = Dict[str, Optional[float]]

_COUNTS = {
    "completed_requests": ("completed", "Successful requests"),
    "failed_requests": ("failed", "Failed requests"),
    "duration_s": ("duration", "Benchmark duration (s)"),
    "total_input_tokens": ("total_input_tokens", "Total input tokens"),
    "total_output_tokens": ("total_output_tokens", "Total generated tokens"),
    "throughput_req_s": ("request_throughput", "Request throughput (req/s)"),
    "throughput_tok_s": ("output_throughput", "Output token throughput (tok/s)"),
    "total_tok_s": ("total_token_throughput", "Total token throughput (tok/s)"),
}
_TIMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "latency": "E2EL"}
_STATISTICS = {"mean": ("mean",), "p50": ("p50", "median"), "p90": ("p90",), "p99": ("p99",)}

REQUIRED = (
    "completed_requests",
    "duration_s",
    "total_input_tokens",
    "total_output_tokens",
    "throughput_req_s",
    "throughput_tok_s",
    "total_tok_s",
    *(f"{time}_{statistic}_ms" for time in ("ttft", "latency") for statistic in ("mean", "p50", "p99")),
)
REQUIRED_BEYOND_FIRST_TOKEN = tuple(f"tpot_{statistic}_ms" for statistic in ("mean", "p50", "p99"))

OUTPUT_TOLERANCE = 0.01
OUTPUT_SHORTFALL_FAILS = 0.10
RATE_TOLERANCE = 0.02
PRINTED_ROUNDING = 0.005

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TABLE_HEAD = re.compile(r"=+ Serving Benchmark Result =+")
_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+)"
_ROW = re.compile(rf"^\s*(?P<label>[^:]+):\s+(?P<value>{_NUMBER})\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """One benchmark workload: tokens in, tokens out (per request) and number of requests."""

    name: str
    input_len: int
    output_len: int
    num_prompts: int


@dataclass(frozen=True)
class Judgement:
    """Status of one profile and every reason why it is not PASS."""

    status: str
    reasons: Tuple[str, ...]


def _keys() -> Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]]:
    """Return for each metric the JSON keys and the printed labels (lower case), in order of preference."""
    keys: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
        name: ((key,), (label.lower(),)) for name, (key, label) in _COUNTS.items()
    }
    for time, label in _TIMES.items():
        for statistic, words in _STATISTICS.items():
            keys[f"{time}_{statistic}_ms"] = (
                tuple(f"{word}_{label.lower()}_ms" for word in words),
                tuple(f"{word} {label.lower()} (ms)" for word in words),
            )
    return keys


METRIC_KEYS = _keys()


def metrics_from_json(result: Mapping[str, Any]) -> Metrics:
    """Take the figures out of the client's result file; an absent or non-numeric one is None."""
    metrics: Metrics = {}
    for name, (keys, _) in METRIC_KEYS.items():
        values = [result[key] for key in keys if _is_number(result.get(key))]
        metrics[name] = float(values[0]) if values else None
    return metrics


def metrics_from_text(text: str) -> Metrics:
    """Take the figures out of the client's printed table (vLLM 0.9 to 0.32); of several tables the last.

    A label counts only as a whole, so that a peak figure is never taken for the figure itself.
    """
    plain = _ANSI.sub("", text)
    heads = list(_TABLE_HEAD.finditer(plain))
    if not heads:
        return dict.fromkeys(METRIC_KEYS)
    rows: Dict[str, float] = {}
    for line in plain[heads[-1].end() :].split("\n"):
        row = _ROW.match(line.rstrip("\r").rsplit("\r", 1)[-1])
        if row:
            rows.setdefault(row["label"].strip().lower(), float(row["value"].replace(",", "")))
    return {
        name: next((rows[label] for label in labels if label in rows), None)
        for name, (_, labels) in METRIC_KEYS.items()
    }


def json_safe(metrics: Metrics) -> Metrics:
    """Return the metrics with every non-finite figure as None, which JSON can say."""
    return {
        name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()
    }


def judge_profile(metrics: Metrics, profile: Profile) -> Judgement:
    """Judge one profile's figures.

    FAIL: no request completed, a required figure missing, not finite or not positive, figures that
    contradict each other, or more than 10 % of the output tokens missing. PARTIAL: fewer requests
    completed than were sent, or output tokens off by more than 1 %.
    """
    completed, failed = metrics.get("completed_requests"), metrics.get("failed_requests")
    if completed == 0:
        return Judgement("FAIL", (f"0 of {profile.num_prompts} requests completed",))
    failures = _unusable(metrics, profile)
    if failures:
        return Judgement("FAIL", tuple(failures))
    assert completed is not None
    failures = _contradictions(metrics, profile)
    partial: List[str] = []
    if completed < profile.num_prompts:
        ratio = completed / profile.num_prompts
        partial.append(f"{completed:.0f} of {profile.num_prompts} requests completed ({ratio:.0%})")
    if completed == profile.num_prompts and failed:
        failures.append(f"{failed:.0f} requests failed although all completed")
    expected, produced = completed * profile.output_len, metrics["total_output_tokens"] or 0.0
    deviation = produced / expected - 1
    if abs(deviation) > OUTPUT_TOLERANCE:
        reason = f"{produced:.0f} output tokens where {expected:.0f} were asked ({deviation:+.1%})"
        (failures if deviation < -OUTPUT_SHORTFALL_FAILS else partial).append(reason)
    return Judgement("FAIL" if failures else "PARTIAL" if partial else "PASS", (*failures, *partial))


def overall_status(statuses: Sequence[str]) -> str:
    """Return the status of a set of profiles: PASS if all pass, FAIL if none does (or there is none)."""
    applicable = [status for status in statuses if status != "SKIPPED"]
    if statuses and not applicable:
        return "SKIPPED"
    if not any(status in ("PASS", "PARTIAL") for status in applicable):
        return "FAIL"
    return "PASS" if all(status == "PASS" for status in statuses) else "PARTIAL"


def summary_table(profiles: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with one row for each profile document; an absent figure is ``-``."""
    head = (
        "Profile",
        "Input",
        "Output",
        "Prompts",
        "Req/s",
        "Tok/s",
        "TTFT(ms)",
        "TPOT(ms)",
        "P99(ms)",
        "Status",
    )
    shown = ("throughput_req_s", "throughput_tok_s", "ttft_mean_ms", "tpot_mean_ms", "latency_p99_ms")
    lines = ["| " + " | ".join(head) + " |", "|" + "-|" * len(head)]
    for profile in profiles:
        metrics = profile.get("metrics") or {}
        figures = [f"{metrics[key]:.2f}" if _is_number(metrics.get(key)) else "-" for key in shown]
        cells = [*(str(profile[key]) for key in ("name", "input_len", "output_len")), _requests(profile)]
        lines.append("| " + " | ".join([*cells, *figures, str(profile["status"])]) + " |")
    return "\n".join(lines)


def _requests(profile: Mapping[str, Any]) -> str:
    """Return the number of requests; ``completed/sent`` where the figures are those of fewer."""
    completed, sent = (profile.get("metrics") or {}).get("completed_requests"), profile["num_prompts"]
    return str(sent) if completed is None or completed == sent else f"{completed:.0f}/{sent}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unusable(metrics: Metrics, profile: Profile) -> List[str]:
    reasons = []
    required = REQUIRED + (REQUIRED_BEYOND_FIRST_TOKEN if profile.output_len > 1 else ())
    for name in required:
        value = metrics.get(name)
        if value is None:
            reasons.append(f"{name} is missing")
        elif not math.isfinite(value):
            reasons.append(f"{name} is not a finite number")
        elif value <= 0:
            reasons.append(f"{name} is {value:g}, which cannot be")
    return reasons


def _contradictions(metrics: Metrics, profile: Profile) -> List[str]:
    """Say where figures that must agree do not; a printed duration is only known to 0.005 s."""
    values = {name: value or 0.0 for name, value in metrics.items()}
    reasons = []
    if values["completed_requests"] > profile.num_prompts:
        reasons.append(
            f"{values['completed_requests']:.0f} requests completed, {profile.num_prompts} were sent"
        )
    duration = values["duration_s"]
    tokens = values["total_input_tokens"] + values["total_output_tokens"]
    for name, amount in (
        ("throughput_req_s", values["completed_requests"]),
        ("throughput_tok_s", values["total_output_tokens"]),
        ("total_tok_s", tokens),
    ):
        allowed = RATE_TOLERANCE + PRINTED_ROUNDING / duration
        expected = amount / duration
        if abs(values[name] - expected) > allowed * expected + PRINTED_ROUNDING:
            reasons.append(f"{name} is {values[name]:.2f}, but its parts say {expected:.2f}")
    for time in _TIMES:
        known = [metrics.get(f"{time}_{statistic}_ms") for statistic in ("p50", "p90", "p99")]
        ordered = [value for value in known if value is not None]
        if ordered != sorted(ordered):
            reasons.append(f"the percentiles of {time} do not rise")
    return reasons
