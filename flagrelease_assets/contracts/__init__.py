"""The documents of the release: one file per step, pydantic models that are stored as JSON.

Belongs here: the shape of what is stored, with described fields.
Does not belong here: how a value is found or judged, where it is stored, Dagster.
"""

from flagrelease_assets.contracts.benchmark import AccuracyMetrics, BenchmarkMetrics
from flagrelease_assets.contracts.common import StepDocument
from flagrelease_assets.contracts.comparison import DiffAnalysis, RecommendedStack
from flagrelease_assets.contracts.install import InstallStatus
from flagrelease_assets.contracts.model_files import ModelSnapshot
from flagrelease_assets.contracts.model_run import EnvVerification, ModelRun
from flagrelease_assets.contracts.report import ReleaseReport

STEP_DOCUMENTS: dict[str, type[StepDocument]] = {
    "install_status": InstallStatus,
    "env_verification": EnvVerification,
    "model_snapshot": ModelSnapshot,
    "run_a_result": ModelRun,
    "run_b_result": ModelRun,
    "diff_analysis": DiffAnalysis,
    "recommended_stack": RecommendedStack,
    "benchmark_metrics": BenchmarkMetrics,
    "accuracy_metrics": AccuracyMetrics,
    "release_report": ReleaseReport,
}

__all__ = [
    "STEP_DOCUMENTS",
    "AccuracyMetrics",
    "BenchmarkMetrics",
    "DiffAnalysis",
    "EnvVerification",
    "InstallStatus",
    "ModelRun",
    "ModelSnapshot",
    "RecommendedStack",
    "ReleaseReport",
    "StepDocument",
]
