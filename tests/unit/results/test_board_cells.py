"""Cells of the board: the newest verdict, its trend, what is new, and why something is missing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.contracts.common import Status
from flagrelease_assets.reporting.board import trend_points
from flagrelease_assets.results.board import TREND_LENGTH, board_cells, cell_of
from flagrelease_assets.results.index import Rows
from flagrelease_assets.results.rows import ResultRow
from flagrelease_assets.results.store import ResultStore
from tests.unit.results.test_rows import START


def row(number: int, status: Status = Status.PASS, tok_s: float | None = None, **fields: object) -> ResultRow:
    return ResultRow.model_validate(
        {
            "step": "release_report", "vendor": "cpu", "model": "m", "run_id": f"r{number}", "status": status,
            "created_at": START + timedelta(days=number), "recommended_stack": "full",
            "profiles": {"p": {"throughput_tok_s": tok_s}} if tok_s else {}, **fields,
        }
    )  # fmt: skip


def test_a_cell_is_its_newest_release_with_the_trend_before_it() -> None:
    rows = tuple(row(number, tok_s=100.0 + number) for number in range(TREND_LENGTH + 5))
    cell = cell_of("cpu", "m", Rows(rows))
    assert (cell.run_id, cell.verdict, cell.releases) == ("r24", Status.PASS, 25)
    assert cell.trend == [105.0 + number for number in range(TREND_LENGTH)]
    assert cell.changed == []


def test_what_is_new_since_the_release_before_is_said_verdict_and_stack_first() -> None:
    before, now = (
        row(1, stack_release="s1"),
        row(2, Status.FAIL, stack_release="s2", recommended_stack="none"),
    )
    assert cell_of("cpu", "m", Rows((before, now))).changed == [
        "verdict from PASS to FAIL",
        "stack from full to none",
        "stack release from s1 to s2",
    ]


def test_a_cell_without_a_release_is_untested_and_says_why(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    folder = Path(str(store.folder("release_report", "cpu", "broken")))
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{")
    cells = {cell.model: cell for cell in board_cells(store, [("cpu", "never")])}
    assert cells["never"].verdict == cells["broken"].verdict == "untested"
    assert cells["never"].reason == "no release has run"
    assert "run.json" in (cells["broken"].reason or "") and "Invalid JSON" in (cells["broken"].reason or "")
    assert (cells["never"].expected, cells["broken"].expected) == (True, False)


@pytest.mark.parametrize("status", [Status.BLOCKED, Status.SKIPPED])
def test_a_release_that_did_not_run_keeps_its_state_and_reason(status: Status) -> None:
    cell = cell_of("cpu", "m", Rows((row(1, status, reason="no worker: add one"),)))
    assert (cell.verdict, cell.reason) == (status, "no worker: add one")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=30))
def test_a_trend_stays_within_its_picture(values: list[float | None]) -> None:
    points = trend_points(values)
    known = [value for value in values if value is not None]
    assert bool(points) == (len(known) > 1)
    for point in points.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= 100 and 0 <= y <= 22
