"""Measure the judgement of failures: accuracies on the labelled cases, time on a large log.

A wrong component in a report sends people after the wrong defect, and a failed run may leave a huge log.
Belongs here: measuring. Does not belong here: the classifier.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from container_scripts.error_layers import classify_stream, classify_text
from container_scripts.error_vocabulary import MULTICHIP_COMPONENTS

CASES = Path(__file__).parent.parent / "tests" / "data" / "error_cases.jsonl"
BENIGN_LINE = (
    b"(APIServer pid=1) INFO 11-21 07:52:41 [loggers.py:259] Engine 000: "
    b"Avg prompt throughput: 2560.0 tokens/s, "
    b"Avg generation throughput: 1280.0 tokens/s, Running: 100 reqs, GPU KV cache usage: 1.2%\n"
)
ERROR_LINE = (
    b"(Worker_TP1 pid=%d) ERROR 11-21 07:52:41 [multiproc_executor.py:949] request %d failed: timed out\n"
)


LOG_MEGABYTES = 50
AIM_LOG_SECONDS = 2.0
AIM_COMPONENT_STRICT = 0.94
AIM_ACCURACY = 0.98

LOGS = (
    ("no errors", 0.0, False),
    ("1 % errors", 0.01, False),
    ("errors only", 1.0, False),
    ("distinct", 1.0, True),
)
"""Logs to time: their name, the share of lines that tell of errors, and whether no two of those agree."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of the cases that are right, and of those where a multi-chip component is blamed wrongly."""

    cases: int
    component_strict: float
    component: float
    layer: float
    fatal: float
    false_blame: float


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Return the labelled cases of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def measure(cases: Sequence[dict[str, Any]]) -> Accuracy:
    """Return how the classifier does on ``cases``."""
    rows = []
    for case in cases:
        found = classify_text(case["text"])
        right = {case["component"], *case["component_also"]}
        blamed = found.component in MULTICHIP_COMPONENTS and not right & MULTICHIP_COMPONENTS
        layers = {str(layer) for layer in case["layers"]}
        rows.append(
            (
                found.component == case["component"],
                found.component in right,
                found.layer in layers,
                found.fatal == case["fatal"],
                blamed,
            )
        )
    shares = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return Accuracy(len(rows), *shares)


def time_large_log(megabytes: int, error_share: float, distinct: bool = False) -> float:
    """Return the seconds that a log of that size takes.

    ``error_share`` of its lines tell of errors; with ``distinct`` no two of those have the same words.
    """
    count = megabytes * 1_000_000 // len(BENIGN_LINE)
    every = round(1 / error_share) if error_share else count + 1
    lines = (_error_line(n, distinct) if n % every == every - 1 else BENIGN_LINE for n in range(count))
    log = io.BytesIO(b"".join(lines))
    started = time.perf_counter()
    classify_stream(log)
    return time.perf_counter() - started


def _error_line(number: int, distinct: bool) -> bytes:
    """Return an error line; a distinct one carries a word of letters that no other line has."""
    line = ERROR_LINE % (number % 7, number)
    word = "".join(chr(ord("a") + int(digit)) for digit in str(number)) * 8
    return line.replace(b"request", word.encode()) if distinct else line


def measure_figures() -> tuple[Figure, ...]:
    """Return the accuracies on the labelled cases and the seconds that large logs take."""
    seen = measure(read_cases(CASES))
    cases = f"{seen.cases} labelled cases"
    return (
        Figure("component, first choice", seen.component_strict, "", AIM_COMPONENT_STRICT, "least", cases),
        Figure("component", seen.component, "", AIM_ACCURACY, "least", cases),
        Figure("layer", seen.layer, "", AIM_ACCURACY, "least", cases),
        Figure("fatal or not", seen.fatal, "", AIM_ACCURACY, "least", cases),
        Figure("multi-chip part blamed wrongly", seen.false_blame, "", 0.0, "most", cases),
        *(_log_figure(*log) for log in LOGS),
    )


def _log_figure(name: str, error_share: float, distinct: bool) -> Figure:
    seconds = time_large_log(LOG_MEGABYTES, error_share, distinct)
    return Figure(f"log of {LOG_MEGABYTES} MB, {name}", seconds, "s", AIM_LOG_SECONDS)
