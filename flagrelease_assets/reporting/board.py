"""The board: every vendor and model with its verdict, on one self-contained HTML page.

Belongs here: laying cells out as a grid.
Does not belong here: finding the cells (results), how the page looks (`templates/`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.reporting.pages import render_page

VERDICTS = ("PASS", "PARTIAL", "FAIL", "SKIPPED", "BLOCKED", "untested")
"""Every state of a cell, in the order of the legend."""

NOT_REPORTED = "no result is stored"

HEAT_STEPS = 5
"""Steps of the heat map's scale, each a fifth of the row's best throughput."""

TREND_WIDTH, TREND_HEIGHT = 100, 22


@dataclass(frozen=True)
class PlacedCell:
    """A cell in its row.

    Attributes:
        cell: what is shown.
        share: its throughput in per cent of the row's best.
        heat: the step of the heat map's scale, from 1 (slowest) to HEAT_STEPS (the row's best).
        trend: the throughputs of its last releases as the points of a line, or "" for fewer than two.
        page: where its newest report is, relative to the board's page.
    """

    cell: BoardCell
    share: float | None
    heat: int | None
    trend: str
    page: str | None


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
            "heat_steps": range(1, HEAT_STEPS + 1),
            "got": sum(1 for row in rows for item in row.cells if item.cell.verdict != "untested"),
            "missing": _missing(rows),
            "generated_at": generated_at,
        },
    )


def _untested(vendor: str, model: str) -> BoardCell:
    return BoardCell(vendor=vendor, model=model, verdict="untested", reason=NOT_REPORTED)


def _row(model: str, cells: Iterable[BoardCell]) -> Row:
    listed = list(cells)
    best = max((cell.throughput_tok_s or 0.0 for cell in listed), default=0.0)
    return Row(model, tuple(_placed(cell, best) for cell in listed))


def _placed(cell: BoardCell, best: float) -> PlacedCell:
    share = _share(cell.throughput_tok_s, best)
    return PlacedCell(
        cell=cell,
        share=share,
        heat=None if share is None else max(1, math.ceil(share / 100 * HEAT_STEPS)),
        trend=trend_points(cell.trend),
        page=f"../reports/{quote(cell.vendor)}/{quote(cell.model)}/{quote(cell.run_id)}.html"
        if cell.run_id
        else None,
    )


def _missing(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """Return why expected cells have no result, with how many cells each reason has, the most first."""
    reasons = Counter(
        item.cell.reason or NOT_REPORTED
        for row in rows
        for item in row.cells
        if item.cell.expected and item.cell.verdict in ("untested", "BLOCKED", "SKIPPED")
    )
    return reasons.most_common()


def trend_points(values: Sequence[float | None]) -> str:
    """Return values as the points of an SVG line, oldest left; "" if fewer than two were measured."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(value for _, value in known), max(value for _, value in known)
    span, last = (high - low) or 1.0, len(values) - 1
    return " ".join(
        f"{index / last * TREND_WIDTH:.1f},{TREND_HEIGHT - 2 - (value - low) / span * (TREND_HEIGHT - 4):.1f}"
        for index, value in known
    )


def _share(value: float | None, best: float) -> float | None:
    return round(value / best * 100, 1) if value is not None and best > 0 else None
