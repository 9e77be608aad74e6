"""The cells of the board, made of rows: newest verdict, trend, what changed since the release before.

Belongs here: one cell for every vendor and model that is expected or was released.
Does not belong here: which cells are expected (the deployment), how the page looks (`reporting`).
"""

from __future__ import annotations

from collections.abc import Iterable

from flagrelease_assets.contracts.common import Stack
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.results.comparison import changed_inputs
from flagrelease_assets.results.index import Rows
from flagrelease_assets.results.rows import ResultRow
from flagrelease_assets.results.store import ResultStore

TREND_LENGTH = 20
"""Releases that a trend shows at most."""

NEVER_RELEASED = "no release has run"


def board_cells(store: ResultStore, expected: Iterable[tuple[str, str]]) -> list[BoardCell]:
    """Return a cell for every expected or released (vendor, model), untested ones with the reason."""
    wanted = set(expected)
    cells = sorted({*wanted, *store.cells("release_report")})
    return [
        cell_of(
            vendor, model, store.rows("release_report", vendor, model), expected=(vendor, model) in wanted
        )
        for vendor, model in cells
    ]


def cell_of(vendor: str, model: str, found: Rows, *, expected: bool = True) -> BoardCell:
    """Return the cell of one vendor and model.

    Args:
        vendor: canonical vendor name.
        model: model key.
        found: the rows of its release reports, and reports that cannot be read.
        expected: whether the deployment has a worker and an entry for it.
    """
    newest = found.newest
    if newest is None:
        reason = str(found.unreadable[0]) if found.unreadable else NEVER_RELEASED
        return BoardCell(vendor=vendor, model=model, verdict="untested", reason=reason, expected=expected)
    before = found.rows[-2] if len(found.rows) > 1 else None
    return BoardCell(
        vendor=vendor,
        model=model,
        verdict=newest.status,
        recommended_stack=Stack(newest.recommended_stack) if newest.recommended_stack else None,
        created_at=newest.created_at,
        run_id=newest.run_id,
        throughput_tok_s=newest.throughput_tok_s,
        profiles_passed=newest.profiles_passed,
        reason=newest.conclusion or newest.reason,
        trend=[row.throughput_tok_s for row in found.rows[-TREND_LENGTH:]],
        changed=_changes(before, newest) if before else [],
        releases=len(found.rows),
        unreadable=len(found.unreadable),
        expected=expected,
    )


def _changes(before: ResultRow, now: ResultRow) -> list[str]:
    """Return what is new since the release before, the verdict and the stack first."""
    found = []
    if before.status != now.status:
        found.append(f"verdict from {before.status} to {now.status}")
    if before.recommended_stack != now.recommended_stack:
        found.append(f"stack from {before.recommended_stack} to {now.recommended_stack}")
    return found + [str(change) for change in changed_inputs(before, now)]
