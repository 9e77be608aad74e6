"""Which cells a backfill releases, and why it leaves out the others.

Belongs here: that choice. Does not belong here: running anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flagrelease_assets.contracts.common import Status
from flagrelease_assets.deployment import Deployment
from flagrelease_assets.results.rows import ResultRow
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.verdict import LOST_CONCLUSION

RESULTS = (Status.PASS, Status.PARTIAL, Status.FAIL)
"""Verdicts that are results: a release that failed has an answer, one that was blocked has none."""

NO_WORKER = "no worker"


@dataclass(frozen=True)
class PlannedCell:
    """One vendor and model of a backfill."""

    vendor: str
    model: str
    chosen: bool
    reason: str

    @property
    def partition(self) -> str:
        """The partition key as Dagster writes it: dimensions in alphabetical order."""
        return f"{self.model}|{self.vendor}"


def plan_cells(
    deployment: Deployment,
    store: ResultStore,
    vendors: Sequence[str],
    models: Sequence[str],
    *,
    missing_only: bool = False,
) -> list[PlannedCell]:
    """Return every cell of the backfill, in the order in which it is released.

    Args:
        deployment: workers and models.
        store: where results are.
        vendors: canonical names; a vendor without a worker is left out with the reason.
        models: model keys.
        missing_only: leave out cells whose newest release is a result for what is configured now.
    """
    return [
        _planned(deployment, store, vendor, model, missing_only) for model in models for vendor in vendors
    ]


def chosen(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """Return the cells that are released."""
    return [cell for cell in cells if cell.chosen]


def _planned(
    deployment: Deployment, store: ResultStore, vendor: str, model: str, missing_only: bool
) -> PlannedCell:
    if vendor not in deployment.workers:
        return PlannedCell(vendor, model, False, f"{NO_WORKER}: {deployment.no_worker(vendor)}")
    if not missing_only:
        return PlannedCell(vendor, model, True, "asked for")
    found = store.rows("release_report", vendor, model)
    missing = next(_why_missing(deployment, vendor, found.newest), None)
    if missing is None and found.newest is not None:
        return PlannedCell(vendor, model, False, f"has {found.newest.status} of run {found.newest.run_id}")
    return PlannedCell(vendor, model, True, missing or "no release has run")


def _why_missing(deployment: Deployment, vendor: str, newest: ResultRow | None) -> Iterator[str]:
    """Yield why a cell has no valid result for what is configured now."""
    if newest is None:
        yield "no release has run, or its report is unreadable"
        return
    if newest.status not in RESULTS:
        yield f"is {newest.status}"
    if newest.conclusion == LOST_CONCLUSION:
        yield "its run was lost"
    wanted = deployment.workers[vendor].stack_release
    wanted = wanted or deployment.catalog.default_stack_release(vendor).id
    if newest.stack_release not in (None, wanted):
        yield f"is of stack release {newest.stack_release}, and {wanted} is configured"
