"""Stored results as data frames, for notebooks and for whoever asks questions that we did not think of.

Belongs here: tables of results and of benchmark metrics over time.
Does not belong here: comparing two results (`comparison.py`), files (`store.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flagrelease_assets.results.rows import ResultFacts, ResultRow
from flagrelease_assets.results.store import ResultStore

if TYPE_CHECKING:
    import pandas as pd

_NESTED = ("packages",)
METRIC_COLUMNS = (
    "created_at", "vendor", "model", "run_id", "status", "stack", "profile", "size", "metric", "value",
    "model_revision", "stack_release", "image", "reused_from_run",
)  # fmt: skip


def selected_rows(
    store: ResultStore,
    step: str,
    *,
    vendor: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
) -> Iterator[ResultRow]:
    """Yield the rows of a step, cell by cell and oldest first within a cell.

    Args:
        store: where the results are.
        step: name of the step.
        vendor: this vendor only.
        model: this model key only.
        since: only results measured at this time or later.
    """
    for _cell, found in store.all_rows(step, vendor, model):
        yield from (row for row in found.rows if since is None or row.created_at >= since)


def results_frame(
    store: ResultStore,
    step: str,
    *,
    vendor: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
) -> pd.DataFrame:
    """Return one line for each stored result of a step; arguments as for `selected_rows`."""
    import pandas as pd

    cells = (cell for cell in store.cells(step) if vendor in (None, cell[0]) and model in (None, cell[1]))
    rows = [
        row for cell in cells for row in store.facts(step, *cell) if since is None or row.created_at >= since
    ]
    columns = {
        name: [getattr(row, name) for row in rows] for name in ResultFacts.model_fields if name not in _NESTED
    }
    columns["status"] = [status.value for status in columns["status"]]
    return pd.DataFrame(columns)


def metrics_frame(
    store: ResultStore,
    *,
    vendor: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
) -> pd.DataFrame:
    """Return one line for each benchmark metric of each profile and stack; see METRIC_COLUMNS.

    A reused result is no new measurement and has no lines. Arguments as for `selected_rows`.
    """
    import pandas as pd

    rows = selected_rows(store, "benchmark_metrics", vendor=vendor, model=model, since=since)
    records = [record for row in rows if row.reused_from_run is None for record in _metric_records(row)]
    return pd.DataFrame.from_records(records, columns=list(METRIC_COLUMNS))


def _metric_records(row: ResultRow) -> Iterator[dict[str, Any]]:
    common = {name: getattr(row, name) for name in METRIC_COLUMNS if name in ResultRow.model_fields}
    common["status"] = row.status.value
    for stack, profiles in ((row.recommended_stack, row.profiles), ("base", row.base_profiles)):
        for profile, metrics in profiles.items():
            for metric, value in metrics.items():
                yield {
                    **common,
                    "stack": stack,
                    "profile": profile,
                    "size": row.sizes.get(profile),
                    "metric": metric,
                    "value": value,
                }
