"""The assets of group `release`, in the order of the graph.

Belongs here: the list of steps and the external model version. Does not belong here: what a step does.
"""

from __future__ import annotations

import dagster as dg

from flagrelease_assets.assets.release.accuracy import Evaluator, accuracy_step
from flagrelease_assets.assets.release.benchmark import BENCHMARK_METRICS
from flagrelease_assets.assets.release.board import release_board
from flagrelease_assets.assets.release.comparison import DIFF_ANALYSIS, RECOMMENDED_STACK
from flagrelease_assets.assets.release.environment import ENV_VERIFICATION
from flagrelease_assets.assets.release.install import INSTALL_STATUS
from flagrelease_assets.assets.release.model_runs import RUN_A_RESULT, RUN_B_RESULT
from flagrelease_assets.assets.release.report import RELEASE_REPORT
from flagrelease_assets.assets.release.snapshot import MODEL_SNAPSHOT
from flagrelease_assets.assets.release.step import (
    MODEL_VERSION,
    RELEASE_GROUP,
    STACK_RELEASE,
    Step,
)
from flagrelease_assets.assets.release.step_asset import build_step_asset
from flagrelease_assets.partitions import model_partitions, vendor_partitions

model_version = dg.AssetSpec(
    MODEL_VERSION,
    partitions_def=model_partitions,
    group_name=RELEASE_GROUP,
    description=(
        "A model's version as its hub or folder names it: revision, files, configuration. Observed by a "
        "sensor, never materialized here."
    ),
    kinds={"huggingface"},
    owners=["team:flagrelease"],
)

stack_release = dg.AssetSpec(
    STACK_RELEASE,
    partitions_def=vendor_partitions,
    group_name=RELEASE_GROUP,
    description=(
        "The stack release that a vendor uses: the named bundle of versions of the five packages. Observed "
        "by a sensor when the catalog or the deployment names another one; older results are then stale."
    ),
    kinds={"yaml"},
    owners=["team:flagrelease"],
)


def release_steps(evaluator: Evaluator | None = None) -> tuple[Step, ...]:
    """Return the steps of a release in the order in which they run."""
    return (
        INSTALL_STATUS,
        ENV_VERIFICATION,
        MODEL_SNAPSHOT,
        RUN_A_RESULT,
        RUN_B_RESULT,
        DIFF_ANALYSIS,
        RECOMMENDED_STACK,
        BENCHMARK_METRICS,
        accuracy_step(evaluator),
        RELEASE_REPORT,
    )


def release_assets(evaluator: Evaluator | None = None) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Return every asset of the group, with an accuracy evaluator plugged in if there is one."""
    return [model_version, stack_release, *map(build_step_asset, release_steps(evaluator)), release_board]
