"""Measure how long the code location takes to load, against one that is empty.

Dagster starts a fresh interpreter for every code server, run worker and command, so every import at
module level is paid each time. The aim is relative, because Dagster alone takes most of it.
Belongs here: measuring the load. Does not belong here: what runs once it is loaded.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.fresh_process import run_python

AIM_RATIO = 1.3
RUNS = 7

EMPTY = "import dagster; defs = dagster.Definitions(); defs.get_repository_def()"
OURS = "from flagrelease_assets.definitions import defs; defs.get_repository_def()"


def measure() -> tuple[Figure, ...]:
    """Return the ratio of the medians of alternating runs, and both medians in seconds."""
    seconds: dict[str, list[float]] = {EMPTY: [], OURS: []}
    with tempfile.TemporaryDirectory(prefix="flagrelease-bench-") as folder:
        for code in seconds:
            run_python(["-c", code], Path(folder))  # fills the bytecode folder
        for _ in range(RUNS):
            for code, taken in seconds.items():
                taken.append(run_python(["-c", code], Path(folder)).seconds)
    empty, ours = (statistics.median(taken) for taken in seconds.values())
    detail = f"median of {RUNS} alternating fresh interpreters"
    return (
        Figure("load against empty definitions", ours / empty, "x", AIM_RATIO, detail=detail),
        Figure("load", ours, "s", detail="process start to end, repository built"),
        Figure("empty definitions", empty, "s", detail="Dagster alone"),
    )
