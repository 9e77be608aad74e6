"""An installation as the end-to-end tests use it: a deployment file, a Dagster instance, one worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import yaml

from flagrelease_assets.contracts.common import StepDocument
from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.demo.models import TOY
from flagrelease_assets.launch import LaunchResult, launch
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.workers.config import DockerWorkerConfig

D = TypeVar("D", bound=StepDocument)
MODEL = model_key(TOY.id)


@dataclass
class Installation:
    """A deployment with one container worker for vendor cpu and the toy model, and a Dagster instance."""

    folder: Path
    instance: dg.DagsterInstance
    content: dict[str, Any]

    @classmethod
    def create(
        cls, folder: Path, instance: dg.DagsterInstance, worker: DockerWorkerConfig, models_root: Path
    ) -> Installation:
        """Write the deployment file of a worker whose smoke model and only model is the toy."""
        entry = TOY.entry(models_root).model_dump(mode="json", exclude_defaults=True)
        worker_entry = {
            **worker.model_dump(mode="json", exclude_defaults=True),
            "kind": "docker",
            "model_root": str(models_root),
            "smoke_model": entry,
        }
        content = {"results": "results", "workers": {"cpu": worker_entry}, "models": [entry]}
        installation = cls(folder, instance, content)
        installation.write()
        return installation

    @property
    def resource(self) -> DeploymentResource:
        """The deployment as Dagster sees it."""
        return DeploymentResource(path=str(self.folder / "flagrelease.yaml"))

    @property
    def worker(self) -> dict[str, Any]:
        """The worker's part of the deployment file; `write` makes a change of it count."""
        entry: dict[str, Any] = self.content["workers"]["cpu"]
        return entry

    def write(self) -> None:
        """Write the deployment file."""
        (self.folder / "flagrelease.yaml").write_text(yaml.safe_dump(self.content), encoding="utf-8")

    def run(
        self, job: str, model: str = MODEL, force: bool | Collection[str] = False
    ) -> tuple[LaunchResult, list[str]]:
        """Run a job to its end; return its result and its messages."""
        messages: list[str] = []

        def show(step: str, message: str) -> None:
            messages.append(message)
            print(f"{step}: {message[:2000]}")

        result = launch(
            self.instance, job, "cpu", model, force=force, deployment=self.resource, on_message=show
        )
        return result, messages

    def document(self, kind: type[D], step: str, model: str = MODEL) -> D:
        """Return the newest document of a step."""
        found = self.resource.store().latest(step, "cpu", model)
        assert isinstance(found, kind), found
        return found
