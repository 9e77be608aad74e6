"""Getting a model's files into the worker and checking them, for the smoke model and the target alike.

Belongs here: the command line of `prepare_model`.
Does not belong here: what makes a model folder whole (`container_scripts/model_files.py`).
"""

from __future__ import annotations

from container_scripts.prepare_model import revisions_folder
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.contracts.model_files import ModelFiles
from flagrelease_assets.deployment import ModelEntry


def prepare_model(
    scope: StepScope, entry: ModelEntry, *, revision: str | None = None
) -> JobReport[ModelFiles]:
    """Check a model's folder in the worker, downloading it from its hub only if it is not there."""
    timeouts, model_root = scope.timeouts, scope.worker_entry.model_root
    wanted = revision or entry.revision
    return scope.run_job(
        "model",
        "prepare_model",
        [
            *("--model", entry.path or entry.id),
            *("--source", entry.source),
            *(["--revision", wanted] if wanted else []),
            *("--target-root", model_root),
            *("--min-free-gb", "0"),
            *("--timeout", str(timeouts.model_download)),
        ],
        ModelFiles,
        deadline_s=timeouts.model_total,
        idle_s=timeouts.model_download_idle,
        activity_paths=(revisions_folder(model_root, entry.id),),
        with_secrets=entry.source != "folder",
    )
