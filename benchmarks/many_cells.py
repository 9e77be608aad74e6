"""Measure board, status and history over many vendors and models, and how they grow.

Belongs here: filling a store, and timing what reads it. Does not belong here: single releases.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import Figure
from flagrelease_assets.contracts import STEP_DOCUMENTS, StepDocument
from flagrelease_assets.reporting.board import board_html
from flagrelease_assets.results import index
from flagrelease_assets.results.board import board_cells
from flagrelease_assets.results.history import metrics_frame, results_frame
from flagrelease_assets.results.rows import row_of
from flagrelease_assets.results.store import ResultStore
from tests.unit.reporting import factories

GROWTH = ((12, 50), (12, 200), (48, 200))
"""Vendors and models: 600, 2,400 and 9,600 partitions."""

AIM_SIZE = (12, 200)
BOARD_AIM_S, BOARD_AIM_MB = 3.0, 500.0
HISTORY_RESULTS, HISTORY_AIM_S = 50_000, 2.0
T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> tuple[Figure, ...]:
    """Return the times of board and status at three sizes with their growth, and of a query of history."""
    figures: list[Figure] = []
    seconds: dict[int, float] = {}
    for vendors, models in GROWTH:
        with filled_store(vendors, models, releases=2) as store:
            cells, reading_s = timed(lambda: board_cells(store, []))
            page, page_s = timed(lambda: board_html(cells, [], [], START))  # noqa: B023
        count = vendors * models
        assert len(cells) == count
        seconds[count] = reading_s + page_s
        aim = BOARD_AIM_S if (vendors, models) == AIM_SIZE else None
        detail = f"status {reading_s:.2f} s, page {page_s:.2f} s and {len(page) / 1e6:.1f} MB"
        figures.append(Figure(f"board of {count:,} cells", reading_s + page_s, "s", aim, detail=detail))
        if aim:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            figures.append(Figure("memory with that board", peak, "MB", BOARD_AIM_MB))
    small, large = min(seconds), max(seconds)
    growth = (seconds[large] / seconds[small]) / (large / small)
    figures.append(Figure("growth of the board", growth, "x", 1.5, detail="1 is linear; 600 to 9,600 cells"))
    return (*figures, *_history())


def _history() -> Iterator[Figure]:
    vendors, models = AIM_SIZE
    releases = -(-HISTORY_RESULTS // (vendors * models))
    with filled_store(vendors, models, releases, steps=("benchmark_metrics",)) as store:
        frame, seconds = timed(lambda: results_frame(store, "benchmark_metrics"))
        yield Figure(
            f"query of {len(frame):,} results", seconds, "s", HISTORY_AIM_S, detail="all cells, one frame"
        )
        cell, seconds = timed(lambda: metrics_frame(store, vendor="v0", model="m0"))
        yield Figure("metrics of one cell", seconds, "s", detail=f"{len(cell)} lines")


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and the seconds that it took."""
    started = time.perf_counter()
    found = function()
    return found, time.perf_counter() - started


@contextmanager
def filled_store(
    vendors: int, models: int, releases: int, steps: tuple[str, ...] = tuple(STEP_DOCUMENTS)
) -> Iterator[ResultStore]:
    """Give a store with results of every cell, as the store leaves them but without syncing the disk."""
    documents = {**factories.documents(), "release_report": factories.report()}
    with tempfile.TemporaryDirectory(prefix="flagrelease-bench-") as folder:
        store = ResultStore(folder)
        for step in (step for step in steps if step in documents):
            for vendor in range(vendors):
                for model in range(models):
                    _fill(store, documents[step], f"v{vendor}", f"m{model}", releases)
        yield store


def _fill(store: ResultStore, document: StepDocument, vendor: str, model: str, releases: int) -> None:
    folder = Path(str(store.folder(document.step, vendor, model)))
    folder.mkdir(parents=True)
    rows = []
    for number in range(releases):
        changes = {"vendor": vendor, "model": model, "run_id": f"run-{number}"}
        rows.append(
            row_of(document).model_copy(update={**changes, "created_at": START + timedelta(days=number)})
        )
        (folder / f"run-{number}.json").touch()
    index.save_rows(store.folder(document.step, vendor, model), rows)
