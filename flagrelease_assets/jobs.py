"""What can be launched: the closures of the graph's useful targets.

Belongs here: asset jobs and how they execute. Does not belong here: when they are launched (sensors, CLI).
"""

from __future__ import annotations

import dagster as dg

from flagrelease_assets.assets.release.board import BOARD
from flagrelease_assets.assets.release.report import REPORT_STEP
from flagrelease_assets.assets.release.step import MODEL_VERSION

RELEASE_JOB = "release"
VERIFY_JOB = "verify"
INSTALL_JOB = "install"
BOARD_JOB = "board"
REPORT_JOB = "report"

TARGETS = {RELEASE_JOB: REPORT_STEP, VERIFY_JOB: "recommended_stack", INSTALL_JOB: "install_status"}
"""The step that a closure job ends with, by job."""


def _closure_job(name: str, description: str) -> dg.UnresolvedAssetJobDefinition:
    """Return the job that materializes an asset and everything above it, for one vendor and model.

    Steps run one after another in the run's own process: the work happens in the worker under its own
    supervisor, and two steps of one release must not share its devices.
    """
    everything = dg.AssetSelection.assets(TARGETS[name]).upstream()
    return dg.define_asset_job(
        name,
        selection=everything - dg.AssetSelection.assets(MODEL_VERSION),
        description=description,
        executor_def=dg.in_process_executor,
    )


release_job = _closure_job(
    RELEASE_JOB, "The whole release of one model on one vendor: everything up to the report."
)
verify_job = _closure_job(
    VERIFY_JOB,
    "Install, verify, run with and without the stack, recommend; no benchmark.",
)
install_job = _closure_job(INSTALL_JOB, "Install and prove the stack of one vendor.")
report_job = dg.define_asset_job(
    REPORT_JOB,
    selection=dg.AssetSelection.assets(REPORT_STEP),
    description="The report alone, of what is stored: for a run that was lost before its own.",
    executor_def=dg.in_process_executor,
)
board_job = dg.define_asset_job(
    BOARD_JOB,
    selection=dg.AssetSelection.assets(BOARD),
    description="The board of all vendors and models, from the stored reports.",
    executor_def=dg.in_process_executor,
)

ALL_JOBS = [release_job, verify_job, install_job, report_job, board_job]
