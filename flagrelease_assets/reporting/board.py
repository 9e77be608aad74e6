"""The board: every vendor and model with its verdict, on one self-contained HTML page.

Belongs here: laying cells out as a grid.
Does not belong here: finding the cells (results), how the page looks (`templates/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.reporting.pages import render_page

VERDICTS = ("PASS", "PARTIAL", "FAIL", "SKIPPED", "BLOCKED", "untested")
"""Every state of a cell, in the order of the legend."""

NOT_REPORTED = "no result is stored"


@dataclass(frozen=True)
class PlacedCell:
    """A cell in its row; ``share`` is its throughput in percent of the row's best."""

    cell: BoardCell
    share: float | None


@dataclass(frozen=True)
class Row:
    """One model over all vendors."""

    model: str
    cells: tuple[PlacedCell, ...]


def board_html(cells: list[BoardCell], vendors: list[str], models: list[str], generated_at: datetime) -> str:
    """Return the board as one page that needs nothing else.

    Every pair of ``vendors`` and ``models`` is shown, the pairs without a cell as untested; a cell of
    a vendor or model outside these lists adds a column or a row rather than being lost. Of two cells
    of the same pair the last counts.
    """
    columns = list(dict.fromkeys([*vendors, *(cell.vendor for cell in cells)]))
    placed = {(cell.model, cell.vendor): cell for cell in cells}
    rows = [
        _row(model, [placed.get((model, vendor)) or _untested(vendor, model) for vendor in columns])
        for model in dict.fromkeys([*models, *(cell.model for cell in cells)])
    ]
    counts = Counter(str(item.cell.verdict) for row in rows for item in row.cells)
    return render_page(
        "board.html.j2",
        "board.js",
        {
            "rows": rows,
            "vendors": columns,
            "legend": [(verdict, counts[verdict]) for verdict in VERDICTS],
            "cell_count": counts.total(),
            "generated_at": generated_at,
        },
    )


def _untested(vendor: str, model: str) -> BoardCell:
    return BoardCell(vendor=vendor, model=model, verdict="untested", reason=NOT_REPORTED)


def _row(model: str, cells: Iterable[BoardCell]) -> Row:
    listed = list(cells)
    best = max((cell.throughput_tok_s or 0.0 for cell in listed), default=0.0)
    return Row(model, tuple(PlacedCell(cell, _share(cell.throughput_tok_s, best)) for cell in listed))


def _share(value: float | None, best: float) -> float | None:
    return round(value / best * 100, 1) if value is not None and best > 0 else None
