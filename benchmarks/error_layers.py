"""Measure the judgement of failures: accuracies on two sets of labelled cases, time on a large log.

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
from typing import Any, Literal

from benchmarks.figures import Figure
from container_scripts.error_layers import classify_stream, classify_text
from container_scripts.error_vocabulary import MULTICHIP_COMPONENTS

DATA = Path(__file__).parent.parent / "tests" / "data"
CASES = DATA / "error_cases.jsonl"
"""The cases that the classifier was made with."""
UNSEEN_CASES = DATA / "error_cases_unseen.jsonl"
"""The cases that were labelled before the classifier read them; it is never tuned on them."""

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

LOGS = (
    ("no errors", 0.0, False),
    ("1 % errors", 0.01, False),
    ("errors only", 1.0, False),
    ("distinct", 1.0, True),
)
"""Logs to time: their name, the share of lines that tell of errors, and whether no two of those agree."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of the cases that are right, and of those where a multi-chip component is blamed wrongly.

    Attributes:
        cases: how many cases there are.
        component_strict: the component named is the label.
        component: it is the label, or an answer that the label allows as well.
        layer: the layer named is among those of the label.
        fatal: fatal or not is as labelled.
        false_blame: a multi-chip component is named where none is guilty.
    """

    cases: int
    component_strict: float
    component: float
    layer: float
    fatal: float
    false_blame: float


@dataclass(frozen=True)
class CaseSet:
    """A file of labelled cases and the accuracies to keep on it."""

    name: str
    path: Path
    component_strict: float
    component: float
    layer: float
    fatal: float
    false_blame: float


CASE_SETS = (
    CaseSet("seen", CASES, 0.94, 0.98, 0.98, 0.98, 0.0),
    CaseSet("unseen", UNSEEN_CASES, 0.85, 0.85, 0.85, 0.95, 0.03),
)


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
    """Return the accuracies on both sets, side by side, and the seconds that large logs take."""
    by_set = [_accuracy_figures(case_set) for case_set in CASE_SETS]
    side_by_side = (figure for row in zip(*by_set, strict=True) for figure in row)
    return (*side_by_side, *(_log_figure(*log) for log in LOGS))


def _accuracy_figures(aims: CaseSet) -> tuple[Figure, ...]:
    found = measure(read_cases(aims.path))

    def figure(name: str, value: float, aim: float, bound: Literal["most", "least"] = "least") -> Figure:
        return Figure(f"{name}, {aims.name}", value, "", aim, bound, f"{found.cases} cases")

    return (
        figure("component, strict", found.component_strict, aims.component_strict),
        figure("component", found.component, aims.component),
        figure("layer", found.layer, aims.layer),
        figure("fatal or not", found.fatal, aims.fatal),
        figure("multi-chip part blamed wrongly", found.false_blame, aims.false_blame, "most"),
    )


def _log_figure(name: str, error_share: float, distinct: bool) -> Figure:
    seconds = time_large_log(LOG_MEGABYTES, error_share, distinct)
    return Figure(f"log of {LOG_MEGABYTES} MB, {name}", seconds, "s", AIM_LOG_SECONDS)
