"""`release_board`: one page over all vendors and models, made of the stored reports.

Belongs here: the asset and the cells it is made of. Does not belong here: how the page looks (`reporting`).
"""

from collections.abc import Iterable

import dagster as dg

from flagrelease_assets.assets.release.step import RELEASE_GROUP
from flagrelease_assets.contracts import ReleaseReport
from flagrelease_assets.contracts.common import utc_now
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.deployment import DeploymentError
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import ResultStore, StoredResultError

BOARD = "release_board"
BOARD_FILE = "board/index.html"


def board_cells(store: ResultStore, expected: Iterable[tuple[str, str]]) -> list[BoardCell]:
    """Return a cell for every expected or released (vendor, model), untested ones with the reason."""
    cells = sorted({*expected, *store.cells("release_report")})
    return [_cell(store, vendor, model) for vendor, model in cells]


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


def _cell(store: ResultStore, vendor: str, model: str) -> BoardCell:
    try:
        report = store.latest("release_report", vendor, model)
    except StoredResultError as error:
        return BoardCell(vendor=vendor, model=model, verdict="untested", reason=str(error))
    if not isinstance(report, ReleaseReport):
        return BoardCell(vendor=vendor, model=model, verdict="untested", reason="no release has run")
    throughputs = [
        profile["metrics"].get("throughput_tok_s") or 0.0 for profile in report.performance_profiles
    ]
    return BoardCell(
        vendor=vendor,
        model=model,
        verdict=report.status,
        recommended_stack=report.steps.model_verify.recommended_stack,
        created_at=report.created_at,
        run_id=report.run_id,
        throughput_tok_s=max(throughputs, default=None),
        profiles_passed=report.steps.perf_test.profiles_passed,
        reason=report.conclusion,
    )


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
        for word in ("PASS", "PARTIAL", "FAIL", "untested")
    }
    return dg.MaterializeResult(metadata={"board": dg.MetadataValue.path(path), **counts})
