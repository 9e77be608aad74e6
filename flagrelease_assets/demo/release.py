"""From nothing to something that can be released: worker, deployment file, installed stack, models.

Belongs here: the order of the demonstration's preparation.
Does not belong here: each part (session, models), and the release itself (the assets).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from flagrelease_assets.demo.models import SMOLLM2, TOY, make_model
from flagrelease_assets.demo.progress import DemoError, Progress
from flagrelease_assets.demo.session import DemoSetup, EngineChoice, prepare_demo
from flagrelease_assets.deployment import DEPLOYMENT_VARIABLE
from flagrelease_assets.home import HOME_VARIABLE
from flagrelease_assets.workers.factory import open_worker

VENDOR = "cpu"
MAX_MODEL_LEN = 2048

LaunchJob = Callable[[str, str, str], str | None]
"""Runs a job (vendor, model key, job name); returns why it failed, or None."""


@dataclass(frozen=True)
class PreparedRelease:
    """What `flagrelease release` needs to know."""

    vendor: str
    model: str
    deployment_file: Path


def prepare_release(
    home: Path, engine: EngineChoice, base_image: str | None, progress: Progress, launch_job: LaunchJob
) -> PreparedRelease:
    """Prepare the demonstration below ``home`` and return what to release.

    The stack is installed by the pipeline's own first step, in the demonstration's own Dagster instance;
    the models are made in the worker afterwards, because that needs the torch that came with vLLM.
    Raises DemoError.
    """
    setup = prepare_demo(home, engine, progress, base_image)
    for note in setup.notes:
        progress(f"note: {note}")
    file = _write_deployment(home, setup)
    os.environ[DEPLOYMENT_VARIABLE] = str(file)
    os.environ.setdefault(HOME_VARIABLE, str(home.absolute() / "dagster"))
    missing = [model for model in (TOY, SMOLLM2) if not model.folder(setup.models_root).exists()]
    if missing:
        progress("Installing the stack in the worker first: the models are made with its torch")
        if reason := launch_job(VENDOR, setup.model.key, "install"):
            raise DemoError(f"the stack could not be installed: {reason}")
        with open_worker(setup.worker) as worker:
            for model in missing:
                make_model(worker, model, setup.models_root, progress)
    return PreparedRelease(VENDOR, setup.model.key, file)


def _write_deployment(home: Path, setup: DemoSetup) -> Path:
    model = setup.model.model_copy(update={"max_model_len": MAX_MODEL_LEN})
    kind = setup.worker.kind
    content = {
        "results": "results",
        "workers": {VENDOR: setup.worker.model_dump(mode="json", exclude_defaults=True) | {"kind": kind}},
        "models": [model.model_dump(mode="json", exclude_defaults=True)],
    }
    file = home.absolute() / "flagrelease.yaml"
    file.write_text("# Written by `flagrelease demo`.\n" + yaml.safe_dump(content, sort_keys=False))
    return file
