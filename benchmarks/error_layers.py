"""Measure the judgement of failures: accuracies on the labelled cases, time on a large log.

Run: ``python -m benchmarks.error_layers [--cases FILE] [--megabytes N]``.
Belongs here: measuring. Does not belong here: thresholds (the tests assert those).
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def main() -> None:
    """Print the accuracies and the time of large logs against the limit of 2 s for 50 MB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--megabytes", type=int, default=50)
    arguments = parser.parse_args()
    print(measure(read_cases(arguments.cases)))
    for share, distinct in ((0.0, False), (0.01, False), (1.0, False), (1.0, True)):
        seconds = time_large_log(arguments.megabytes, share, distinct)
        ratio = seconds / (2.0 * arguments.megabytes / 50)
        kind = f"{share:.0%} error lines{', all distinct' if distinct else ''}"
        print(f"{arguments.megabytes} MB, {kind}: {seconds:.2f} s ({ratio:.2f} of the limit)")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, log included")


if __name__ == "__main__":
    main()
