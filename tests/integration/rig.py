"""A whole release on this machine in seconds: real assets, store, worker and supervisor, instant programs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import yaml

from flagrelease_assets.assets.release.step import FORCE_TAG
from flagrelease_assets.contracts.common import StepDocument
from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.definitions import build_defs
from flagrelease_assets.launch import LaunchResult, launch
from flagrelease_assets.partitions import release_key
from flagrelease_assets.resources import DeploymentResource
from tests.doubles.instant_scripts import Canned, make_instant_scripts

D = TypeVar("D", bound=StepDocument)
STEPS = (
    "install_status",
    "env_verification",
    "model_snapshot",
    "run_a_result",
    "run_b_result",
    "diff_analysis",
    "recommended_stack",
    "benchmark_metrics",
    "accuracy_metrics",
    "release_report",
)
"""The assets of a release, in the order in which they run."""

TOY: dict[str, Any] = {"id": "org/toy", "source": "folder", "path": "/models/toy"}


@dataclass
class Rig:
    """One installation in a folder of its own, with the programs' answers chosen by the test."""

    folder: Path
    instance: dg.DagsterInstance
    models: list[dict[str, Any]] = field(default_factory=lambda: [TOY])
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=lambda: {"kind": "local"})
    """Where workers are: their keys in the deployment file, beside their folders below `folder`."""
    network: dict[str, str] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)
    scripts: Path | None = None

    def __post_init__(self) -> None:
        self.workers = self.workers or {"cpu": self.new_worker("cpu")}
        self.answer({})

    @property
    def deployment_file(self) -> Path:
        return self.folder / "flagrelease.yaml"

    @property
    def resource(self) -> DeploymentResource:
        return DeploymentResource(path=str(self.deployment_file), scripts_root=str(self.scripts))

    def new_worker(self, name: str) -> dict[str, Any]:
        return {
            **self.place,
            "work_root": str(self.folder / f"worker-{name}"),
            "lock_root": str(self.folder / "locks"),
        }

    def answer(self, answers: Canned, *, real: Collection[str] = ()) -> None:
        """Let the programs give these answers from now on (healthy ones otherwise); `real` ones run."""
        number = len(list(self.folder.glob("scripts-*")))
        self.scripts = make_instant_scripts(self.folder / f"scripts-{number}", answers, real)

    def write_deployment(self) -> None:
        content = {"results": "results", "workers": self.workers, "models": self.models}
        content["network"] = self.network
        self.deployment_file.write_text(yaml.safe_dump(content), encoding="utf-8")

    def run(
        self,
        *,
        job: str = "release",
        vendor: str = "cpu",
        model: str = "org/toy",
        force: bool | Collection[str] = False,
    ) -> LaunchResult:
        if not self.deployment_file.exists():
            self.write_deployment()
        self.messages.clear()
        return launch(
            self.instance,
            job,
            vendor,
            model_key(model),
            force=force,
            deployment=self.resource,
            on_message=lambda step, message: self.messages.append((step, message)),
        )

    def materialize(
        self, *steps: str, vendor: str = "cpu", model: str = "org/toy", force: bool = False
    ) -> dg.ExecuteInProcessResult:
        """Materialize single steps from what is stored, as a click on an asset does."""
        definitions = build_defs(resource_overrides={"deployment": self.resource})
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=release_key(vendor, model_key(model)),
            asset_selection=[dg.AssetKey(step) for step in steps],
            tags={FORCE_TAG: "all"} if force else {},
            raise_on_error=False,
        )

    def document(self, kind: type[D], step: str, vendor: str = "cpu", model: str = "org/toy") -> D:
        found = self.resource.store().latest(step, vendor, model_key(model))
        assert isinstance(found, kind), f"{step} stored {found!r}"
        return found

    def jobs_started(self) -> list[str]:
        return [message for _, message in self.messages if ": started " in message]
