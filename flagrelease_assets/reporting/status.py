"""The board in the terminal: one line for each vendor and model.

Belongs here: laying cells out with rich. Does not belong here: finding them (`results/board.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flagrelease_assets.contracts.common import utc_now
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.reporting.comparisons import sparkline
from flagrelease_assets.reporting.text import ABSENT, age, number, one_line

_STYLES = {"PASS": "green", "PARTIAL": "yellow", "FAIL": "red", "BLOCKED": "magenta"}


def status_view(cells: Sequence[BoardCell]) -> Group:
    """Return the cells as a table, and below it why each is what it is and what changed."""
    now = utc_now()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Vendor", no_wrap=True)
    table.add_column("Model", overflow="fold", min_width=14)
    for head in ("Verdict", "Age", "Stack", "Profiles"):
        table.add_column(head, no_wrap=True)
    table.add_column("tok/s", justify="right", no_wrap=True)
    table.add_column("Trend", no_wrap=True)
    for cell in cells:
        table.add_row(
            cell.vendor,
            one_line(cell.model),
            Text(str(cell.verdict), _STYLES.get(str(cell.verdict), "dim")),
            age(cell.created_at, now) if cell.created_at else ABSENT,
            str(cell.recommended_stack or ABSENT),
            cell.profiles_passed or ABSENT,
            number(cell.throughput_tok_s),
            sparkline(cell.trend) if len(cell.trend) > 1 else "",
        )
    return Group(table, *map(_said, filter(lambda cell: cell.reason or cell.changed, cells)))


def _said(cell: BoardCell) -> Text:
    parts = [cell.reason or "", f"new: {'; '.join(cell.changed)}" if cell.changed else ""]
    style = _STYLES.get(str(cell.verdict), "dim")
    who = f"{one_line(cell.model)} on {cell.vendor}: "
    return Text.assemble((f"{cell.verdict} ", style), who, one_line("; ".join(filter(None, parts))))
