from __future__ import annotations

from datetime import timedelta

from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.reporting import board_html
from tests.unit.reporting import factories
from tests.unit.reporting.reading import Page

NOW = factories.MEASURED + timedelta(hours=5)
TESTED = BoardCell(
    vendor="nvidia",
    model="org--a",
    verdict=Status.PARTIAL,
    recommended_stack=Stack.BASE,
    created_at=factories.MEASURED,
    throughput_tok_s=2355.2,
    profiles_passed="4/5",
    reason="Run B failed in FlagGems",
)


def board(*cells: BoardCell) -> Page:
    return Page(board_html(list(cells), ["nvidia", "ascend"], ["org--a", "org--b"], NOW))


def test_cell_says_verdict_age_stack_throughput_and_reason_in_words() -> None:
    shown = board(TESTED).text
    for word in ("PARTIAL", "5 h ago", "base stack", "4/5", "2,355 tok/s", "Run B failed in FlagGems"):
        assert word in shown


def test_every_pair_without_a_cell_is_untested_with_a_reason() -> None:
    shown = board(TESTED).text
    assert shown.count("no result is stored") == 3 + 1, "in each cell, and once among what is missing"
    assert "3 × no result is stored" in shown
    assert "2 vendors × 2 models = 4 cells" in shown


def test_untested_cell_keeps_its_own_reason() -> None:
    cell = BoardCell(vendor="ascend", model="org--b", verdict="untested", reason="no worker is configured")
    assert "no worker is configured" in board(cell).text


def test_cell_outside_the_named_axes_is_not_lost() -> None:
    shown = board(TESTED.model_copy(update={"vendor": "cpu", "model": "org--c"})).text
    assert "3 vendors × 3 models = 9 cells" in shown
    assert "PARTIAL 5 h ago" in shown


def test_throughput_bars_compare_within_one_model() -> None:
    faster = TESTED.model_copy(update={"vendor": "ascend", "throughput_tok_s": 4710.4})
    assert {"width:50.0%;display:block", "width:100.0%;display:block"} <= set(board(TESTED, faster).styles)


def test_board_without_vendors_or_models_says_what_to_do() -> None:
    assert "Add one to the deployment file" in Page(board_html([], [], [], NOW)).text


def test_hostile_reason_adds_nothing_to_the_page_and_nothing_is_loaded() -> None:
    hostile = TESTED.model_copy(
        update={"reason": "\"><script>x</script><img src='http://x' onerror=y>\x1b[2J"}
    )
    page = board(hostile)
    assert page.tags.count("script") == 1
    assert page.handlers == []
    assert "img" not in page.tags
    assert all(reference.startswith(("#", "../reports/")) for reference in page.references)
    assert "<script>x</script>" in page.text
