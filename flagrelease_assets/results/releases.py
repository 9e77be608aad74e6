"""The releases of one vendor and model as rows, and which two of them to hold against each other.

Belongs here: choosing rows. Does not belong here: comparing them (`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.rows import ResultRow
from flagrelease_assets.results.store import ResultStore

LAST_PASS = "last-pass"
_FROM_BENCHMARK = ("execution", "full_to_base_ratio", "base_profiles")


class NothingToCompareError(Exception):
    """There are not two results to compare; the message says what there is and what to do."""


def releases(store: ResultStore, vendor: str, model: str) -> list[ResultRow]:
    """Return every release of a cell, oldest first, with what only its benchmark knows.

    Raises NothingToCompareError if there is none.
    """
    benchmarks = {row.run_id: row for row in store.rows("benchmark_metrics", vendor, model).rows}
    found = [
        row.model_copy(
            update={name: getattr(benchmarks[row.run_id], name) for name in _FROM_BENCHMARK}
            if row.run_id in benchmarks
            else {}
        )
        for row in store.rows("release_report", vendor, model).rows
    ]
    if not found:
        raise NothingToCompareError(
            f"{model} was never released on {vendor}: run `flagrelease release {vendor} {model}`"
        )
    return found


def newest_release(store: ResultStore, vendor: str, model: str) -> ResultRow:
    """Return the newest release of a cell; raises NothingToCompareError."""
    return releases(store, vendor, model)[-1]


def release_pair(
    store: ResultStore, vendor: str, model: str, run: str | None, against: str
) -> tuple[ResultRow, ResultRow]:
    """Return (earlier, later) release of a cell to compare.

    Args:
        store: where the results are.
        vendor: canonical vendor name.
        model: model key.
        run: id (or its beginning) of the run to look at; the newest if None.
        against: id (or its beginning) of the run to hold it against, or LAST_PASS.

    Raises NothingToCompareError.
    """
    rows = releases(store, vendor, model)
    after = _of_run(rows, run) if run else rows[-1]
    if against != LAST_PASS:
        return _of_run(rows, against), after
    earlier = [row for row in rows[: rows.index(after)] if row.status == Status.PASS]
    if not earlier:
        known = ", ".join(f"{row.run_id} ({row.status})" for row in rows if row is not after) or "none"
        raise NothingToCompareError(
            f"{model} on {vendor} has no PASS before run {after.run_id}; name another run with --against "
            f"(other runs: {known})"
        )
    return earlier[-1], after


def _of_run(rows: Sequence[ResultRow], run: str) -> ResultRow:
    found = [row for row in rows if row.run_id.startswith(run)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(row.run_id for row in rows)
    what = "several runs" if found else "no run"
    raise NothingToCompareError(f"{what} of {rows[0].model} on {rows[0].vendor} begin with {run!r}: {known}")
