"""A backfill in the terminal: vendors by models, each cell with how far it is.

Belongs here: laying it out with rich. Does not belong here: what drives it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flagrelease_assets.backfill.plan import PlannedCell
from flagrelease_assets.backfill.progress import CellProgress, Progress
from flagrelease_assets.reporting.text import duration, one_line

_STYLES = {
    "PASS": "green", "PARTIAL": "yellow", "FAIL": "red", "lost": "red", "SKIPPED": "bright_black",
    "queued": "dim", "running": "cyan", "not run": "magenta", "BLOCKED": "magenta",
}  # fmt: skip


def progress_view(progress: Progress) -> Group:
    """Return the grid of a backfill, with why cells are less than PASS once they are over."""
    vendors = list(dict.fromkeys(vendor for vendor, _ in progress.cells))
    models = list(dict.fromkeys(model for _, model in progress.cells))
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Model", overflow="fold")
    for vendor in vendors:
        grid.add_column(vendor)
    for model in models:
        grid.add_row(one_line(model), *(_cell(progress.cells.get((vendor, model))) for vendor in vendors))
    reasons: list[RenderableType] = [
        Text.assemble((f"{cell.state} ", _STYLES.get(cell.state, "")), one_line(_said(cell)))
        for cell in progress.cells.values()
        if cell.is_over and cell.state != "PASS"
    ]
    return Group(grid, *reasons)


def plan_view(cells: Iterable[PlannedCell]) -> Table:
    """Return what a backfill would release and what not, with why."""
    table = Table("Vendor", "Model", "Release", "Why", box=box.SIMPLE_HEAD, pad_edge=False)
    for cell in cells:
        table.add_row(
            cell.vendor, one_line(cell.model), "yes" if cell.chosen else "no", one_line(cell.reason)
        )
    return table


def _cell(cell: CellProgress | None) -> Text:
    if cell is None:
        return Text("")
    parts = [cell.state]
    if cell.state == "running" and cell.detail:
        parts.append(cell.detail)
    if cell.seconds is not None:
        parts.append(duration(cell.seconds))
    return Text(one_line(" ".join(parts)), _STYLES.get(cell.state, ""))


def _said(cell: CellProgress) -> str:
    run = f" (run {cell.run_id})" if cell.run_id else ""
    return f"{cell.model} on {cell.vendor}: {cell.detail or 'no reason is known'}{run}"
