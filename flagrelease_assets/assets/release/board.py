"""`release_board`: one page over all vendors and models, made of the stored reports.

Belongs here: the asset, and which cells are expected.
Does not belong here: the cells (`results/board.py`), how the page looks (`reporting`).
"""

import dagster as dg

from flagrelease_assets.assets.release.metadata import page_url
from flagrelease_assets.assets.release.step import RELEASE_GROUP
from flagrelease_assets.contracts.common import utc_now
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.deployment import DeploymentError
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.board import board_cells

BOARD = "release_board"
BOARD_FILE = "board/index.html"


def write_board(deployment: DeploymentResource) -> tuple[str, list[BoardCell]]:
    """Write the board's page beside the results; returns where it is and its cells."""
    from flagrelease_assets.reporting.board import board_html

    store = deployment.store()
    cells = board_cells(store, expected_cells(deployment))
    vendors = sorted({cell.vendor for cell in cells})
    models = sorted({cell.model for cell in cells})
    return str(store.put_text(BOARD_FILE, board_html(cells, vendors, models, utc_now()))), cells


def expected_cells(deployment: DeploymentResource) -> list[tuple[str, str]]:
    """Return every (vendor, model) that the deployment has a worker and an entry for."""
    try:
        settings = deployment.load()
    except DeploymentError:
        return []
    return [(vendor, entry.key) for vendor in settings.workers for entry in settings.models]


@dg.asset(
    name=BOARD,
    group_name=RELEASE_GROUP,
    deps=["release_report"],
    description="Vendor x model: verdict, stack, throughput and age, as one self-contained page.",
    kinds={"html"},
    owners=["team:flagrelease"],
)
def release_board(deployment: DeploymentResource) -> dg.MaterializeResult[None]:
    """Write the board's page from the stored reports."""
    path, cells = write_board(deployment)
    counts = {
        f"{word.lower()}_cells": sum(1 for cell in cells if cell.verdict == word)
        for word in ("PASS", "PARTIAL", "FAIL", "SKIPPED", "BLOCKED", "untested")
    }
    return dg.MaterializeResult(
        metadata={**_link(deployment), "board": dg.MetadataValue.path(path), **counts}
    )


def _link(deployment: DeploymentResource) -> dict[str, dg.UrlMetadataValue]:
    try:
        pages_url = deployment.load().pages_url
    except DeploymentError:
        return {}
    return {"board_link": dg.MetadataValue.url(page_url(pages_url, BOARD_FILE))}
