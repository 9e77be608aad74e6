"""What Dagster hands to every asset, check and sensor: the deployment, and the stored results.

Belongs here: ConfigurableResource classes and the IO manager.
Does not belong here: files and paths of results (`results/store.py`), the deployment's shape.
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from flagrelease_assets.contracts.common import ErrorRecord, Status, StepDocument, UnreadableResult, utc_now
from flagrelease_assets.deployment import Deployment, DeploymentError, deployment_path, load_deployment
from flagrelease_assets.partitions import split_release_key
from flagrelease_assets.results.store import ResultStore, StoredResultError

_FALLBACK_RESULTS = ".flagrelease/results"


class DeploymentResource(dg.ConfigurableResource[None]):
    """The deployment file, read anew by every step so that an edit takes effect without a restart."""

    path: str | None = Field(
        default=None, description="Deployment file; $FLAGRELEASE_DEPLOYMENT or ./flagrelease.yaml if absent."
    )
    scripts_root: str | None = Field(
        default=None, description="Folder of the worker programs; the installed container_scripts if absent."
    )

    @property
    def file(self) -> Path:
        """The deployment file in use."""
        return Path(self.path).absolute() if self.path else deployment_path()

    def load(self) -> Deployment:
        """Read the deployment; raises DeploymentError with the file, key and reason."""
        return load_deployment(self.file)

    def store(self) -> ResultStore:
        """Return the result store; beside an unreadable deployment file, so that the finding is kept."""
        try:
            return ResultStore(self.load().results)
        except DeploymentError:
            return ResultStore(str(self.file.parent / _FALLBACK_RESULTS))


class ResultIOManager(dg.ConfigurableIOManager):
    """Store each step's document, and load the newest one of the same vendor and model (or None).

    A stored file that cannot be read is a document too, so that the report is made and says so.
    """

    deployment: dg.ResourceDependency[DeploymentResource]

    def handle_output(self, context: dg.OutputContext, obj: StepDocument) -> None:
        """Store the document and say where it went."""
        path = self.deployment.store().put(obj)
        context.add_output_metadata({"result_file": dg.MetadataValue.path(str(path))})

    def load_input(self, context: dg.InputContext) -> StepDocument | None:
        """Return the newest stored document of the upstream step, or None if there is none yet."""
        step = context.asset_key.to_user_string()
        vendor, model = split_release_key(context.partition_key)
        try:
            return self.deployment.store().latest(step, vendor, model)
        except StoredResultError as error:
            return _unreadable(step, vendor, model, f"{error}; materialize {step} again to replace it")


def _unreadable(step: str, vendor: str, model: str, cause: str) -> UnreadableResult:
    record = ErrorRecord(
        step=step, layer="X", component="unknown", category="stored_result", cause=cause, fatal=True
    )
    return UnreadableResult(
        step=step,
        status=Status.FAIL,
        vendor=vendor,
        model=model,
        run_id="",
        created_at=utc_now(),
        reason=cause,
        errors=[record],
    )
