"""Answers with status 200 and nothing in them, which the benchmark client counts as completed requests.

Belongs here: taking them out of the client's detailed result, all figures computed anew without them.
Does not belong here: reading the figures (benchmark_metrics).
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Sequence, Tuple

_PERCENTILES = (50, 90, 99)


def without_empty_answers(result: Mapping[str, Any]) -> Tuple[Dict[str, Any], int]:
    """Return the client's result without the requests that gave no token or no text, and their number.

    The result is unchanged if there are none, or if it has no details (`--save-detailed`). Otherwise
    those requests count as failed, and rates and latencies are those of the others alone.
    """
    empty = _empty_places(result)
    if not empty:
        return dict(result), 0
    kept = [
        place
        for place, error in enumerate(result["errors"])
        if not error and place not in empty and result["output_lens"][place]
    ]
    return {**result, **_figures(result, kept), "failed": len(result["errors"]) - len(kept)}, len(empty)


def _empty_places(result: Mapping[str, Any]) -> List[int]:
    lists = [result.get(key) for key in ("errors", "output_lens", "generated_texts", "ttfts", "itls")]
    if not all(isinstance(one, list) and len(one) == len(lists[0] or ()) for one in lists):
        return []
    return [
        place
        for place, error in enumerate(result["errors"])
        if not error and (not result["output_lens"][place] or result["generated_texts"][place] == "")
    ]


def _figures(result: Mapping[str, Any], kept: Sequence[int]) -> Dict[str, Any]:
    """Return the figures of the kept requests, under the client's keys."""
    lengths = [result["output_lens"][place] for place in kept]
    taken, produced = sum(_input_lens(result, kept)), sum(lengths)
    ttfts = [result["ttfts"][place] for place in kept]
    gaps = [result["itls"][place] for place in kept]
    latencies = [ttft + sum(itls) for ttft, itls in zip(ttfts, gaps)]
    times = {
        "ttft": ttfts,
        "tpot": [
            (latency - ttft) / (length - 1)
            for latency, ttft, length in zip(latencies, ttfts, lengths)
            if length > 1
        ],
        "itl": [gap for itls in gaps for gap in itls],
        "e2el": latencies,
    }
    duration = result.get("duration") or math.nan
    figures: Dict[str, Any] = {
        "completed": len(kept),
        "total_input_tokens": taken,
        "total_output_tokens": produced,
        "request_throughput": len(kept) / duration,
        "output_throughput": produced / duration,
        "total_token_throughput": (taken + produced) / duration,
    }
    for name, values in times.items():
        figures[f"mean_{name}_ms"] = 1000 * sum(values) / len(values) if values else None
        for share in _PERCENTILES:
            figures[f"p{share}_{name}_ms"] = 1000 * _percentile(sorted(values), share) if values else None
        figures[f"median_{name}_ms"] = figures[f"p50_{name}_ms"]
    return figures


def _input_lens(result: Mapping[str, Any], kept: Sequence[int]) -> List[int]:
    lengths = result.get("input_lens") or []
    return [lengths[place] for place in kept if place < len(lengths)]


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile as the client computes it, by linear interpolation."""
    position = (len(ordered) - 1) * share / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
