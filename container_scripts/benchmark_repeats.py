"""One profile measured several times: medians, and how far the measurements lie apart.

Belongs here: putting the documents of the repeats into one.
Does not belong here: running them (run_benchmark).
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, Optional, Sequence

from container_scripts.benchmark_metrics import Metrics, overall_status
from container_scripts.document import Document

_WORST_FIRST = ("DISAGREE", "UNAVAILABLE", "AGREE")


def combine_repeats(repeats: Sequence[Document]) -> Document:
    """Return the document of a profile from those of its repeats (at least one), which it keeps whole.

    Metrics are medians over the repeats that did not fail; ``spread`` is largest minus smallest over
    the median. PASS needs every repeat to pass; a profile of which some repeat passed is PARTIAL.
    What else is said is said of the first repeat that did not pass.
    """
    if len(repeats) == 1:
        return repeats[0]
    status = overall_status([repeat["status"] for repeat in repeats])
    shown = next((repeat for repeat in repeats if repeat["status"] != "PASS"), repeats[0])
    usable = [repeat["metrics"] for repeat in repeats if repeat["status"] in ("PASS", "PARTIAL")]
    metrics = _medians(usable) if usable else shown["metrics"]
    return {
        **shown,
        "status": status,
        "metrics": metrics,
        "spread": {name: _spread(name, usable, median) for name, median in metrics.items()},
        "reasons": [
            f"repeat {number} of {len(repeats)}: {reason}"
            for number, repeat in enumerate(repeats, 1)
            for reason in repeat["reasons"]
        ],
        "error": shown["error"] if status == "FAIL" else None,
        "traceback": shown["traceback"] if status == "FAIL" else None,
        "engine_check": _worst_check(repeats),
        "server_died": any(repeat["server_died"] for repeat in repeats),
        "repeats": list(repeats),
    }


def _medians(usable: Sequence[Metrics]) -> Metrics:
    return {name: _median(_values(name, usable)) for name in usable[0]}


def _median(values: Sequence[float]) -> Optional[float]:
    return statistics.median(values) if values else None


def _spread(name: str, usable: Sequence[Metrics], median: Optional[float]) -> Optional[float]:
    values = _values(name, usable)
    return round((max(values) - min(values)) / median, 4) if values and median else None


def _values(name: str, usable: Sequence[Metrics]) -> Sequence[float]:
    known = (metrics.get(name) for metrics in usable)
    return [value for value in known if value is not None]


def _worst_check(repeats: Sequence[Document]) -> Optional[Dict[str, Any]]:
    checks = [repeat["engine_check"] for repeat in repeats if repeat["engine_check"]]
    return min(checks, key=lambda check: _WORST_FIRST.index(check["status"]), default=None)
