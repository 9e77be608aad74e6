"""The code location: assembles assets, jobs, sensors and resources, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

# Partitioned asset checks are a preview feature of Dagster 1.13, and mapping one of two dimensions is beta;
# without the first, the checks of all vendors and models would share one history.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def.*")
warnings.filterwarnings(
    "ignore", category=dg.BetaWarning, message=".*MultiToSingleDimensionPartitionMapping.*"
)

from flagrelease_assets.assets.release.accuracy import Evaluator  # noqa: E402
from flagrelease_assets.assets.release.graph import release_assets  # noqa: E402
from flagrelease_assets.checks import release_asset_checks  # noqa: E402
from flagrelease_assets.device_locks import DeviceLocks  # noqa: E402
from flagrelease_assets.jobs import ALL_JOBS  # noqa: E402
from flagrelease_assets.resources import DeploymentResource, ResultIOManager  # noqa: E402
from flagrelease_assets.sensors import ALL_SENSORS  # noqa: E402


def build_defs(
    *,
    evaluator: Evaluator | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Return the definitions, with parts replaced for tests, benchmarks or another deployment.

    Args:
        evaluator: scores the model for `accuracy_metrics`; the step is SKIPPED without one.
        resource_overrides: resources that replace the defaults, by name.
        loggers: loggers that a run may choose beside Dagster's own, by name.
    """
    overrides = dict(resource_overrides or {})
    deployment = overrides.pop("deployment", DeploymentResource())
    return dg.Definitions(
        assets=release_assets(evaluator),
        asset_checks=release_asset_checks(),
        jobs=ALL_JOBS,
        sensors=ALL_SENSORS,
        resources={
            "deployment": deployment,
            "devices": DeviceLocks(),
            "results": ResultIOManager(deployment=deployment),
            **overrides,
        },
        loggers=dict(loggers or {}),
        executor=dg.in_process_executor,
    )


defs = build_defs()
