"""What can be launched: the closures of the graph's useful targets.

Belongs here: asset jobs and how they execute. Does not belong here: when they are launched (sensors, CLI).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from flagrelease_assets.assets.release.board import BOARD
from flagrelease_assets.assets.release.report import REPORT_STEP
from flagrelease_assets.assets.release.step import MODEL_VERSION, STACK_RELEASE

RELEASE_JOB = "release"
VERIFY_JOB = "verify"
INSTALL_JOB = "install"
BOARD_JOB = "board"
REPORT_JOB = "report"


@dataclass(frozen=True)
class Closure:
    """A job that materializes one step and everything above it, for one vendor and model."""

    target: str
    description: str


CLOSURES = {
    RELEASE_JOB: Closure(REPORT_STEP, "The whole release of one model on one vendor, up to the report."),
    VERIFY_JOB: Closure("recommended_stack", "Install, verify, run on both stacks, recommend; no benchmark."),
    INSTALL_JOB: Closure("install_status", "Install and prove the stack of one vendor."),
    "environment": Closure("env_verification", "Install, then the smoke test of the environment."),
    "snapshot": Closure("model_snapshot", "Everything up to the model's files in the worker."),
    "run_a": Closure("run_a_result", "Everything up to Run A: the model on the base stack."),
    "run_b": Closure("run_b_result", "Everything up to Run B: the model on the full stack."),
    "compare": Closure("diff_analysis", "Both runs and their comparison."),
    "benchmark": Closure("benchmark_metrics", "Everything up to the benchmark of the recommended stack."),
    "accuracy": Closure("accuracy_metrics", "Everything up to the accuracy of the recommended stack."),
}
"""The closure jobs by name: one for every step that somebody may want as an end in itself."""

TARGETS = {name: closure.target for name, closure in CLOSURES.items()}
"""The step that a closure job ends with, by job."""


def closure_of(steps: Iterable[str]) -> dg.AssetSelection:
    """Return some steps and everything of the release above them."""
    return dg.AssetSelection.assets(*steps).upstream() - dg.AssetSelection.assets(
        MODEL_VERSION, STACK_RELEASE
    )


def _closure_job(name: str, closure: Closure) -> dg.UnresolvedAssetJobDefinition:
    """Return the job of a closure.

    Steps run one after another in the run's own process: the work happens in the worker under its own
    supervisor, and two steps of one release must not share its devices.
    """
    return dg.define_asset_job(
        name,
        selection=closure_of([closure.target]),
        description=closure.description,
        executor_def=dg.in_process_executor,
    )


closure_jobs = [_closure_job(name, closure) for name, closure in CLOSURES.items()]
release_job = closure_jobs[0]
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

ALL_JOBS = [*closure_jobs, report_job, board_job]
