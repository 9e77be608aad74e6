"""Prepares a demonstration: a worker that is ready, and what the deployment file says of it.

Belongs here: choosing container or local interpreter, and the two entries of the deployment file.
Does not belong here: installing vLLM and running the release, which are the pipeline's own work, or
making the models, which needs the torch that comes with vLLM (models.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flagrelease_assets.demo.container import WORKER_PYTHON, ensure_container, worker_spec
from flagrelease_assets.demo.engine import connect
from flagrelease_assets.demo.image import build_worker_image
from flagrelease_assets.demo.models import SMOLLM2, TOY
from flagrelease_assets.demo.package_access import host_package_access
from flagrelease_assets.demo.progress import DemoError, Progress
from flagrelease_assets.demo.worker_venv import ensure_worker_venv, missing_system_libraries
from flagrelease_assets.deployment import DockerWorkerEntry, LocalWorkerEntry, ModelEntry

DEMO_CONTAINER = "flagrelease-cpu"
DEMO_OWNER = "demo"
EngineChoice = Literal["auto", "docker", "local"]


@dataclass(frozen=True)
class DemoSetup:
    """A worker that answers, and the model to release on it.

    ``worker`` and ``model`` are entries of the deployment file; the models named in them appear in
    ``models_root`` once models.py has made them. ``notes`` say what the user should know.
    """

    worker: DockerWorkerEntry | LocalWorkerEntry
    model: ModelEntry
    models_root: Path
    notes: tuple[str, ...]


def prepare_demo(
    home: Path, engine: EngineChoice, progress: Progress, base_image: str | None = None
) -> DemoSetup:
    """Prepare the worker of vendor ``cpu`` below ``home``; what is there already is used again.

    ``engine``: ``docker`` for a container, ``local`` for an interpreter of this machine, ``auto`` for
    a container if it can be had. Raises DemoError if the worker of that kind cannot be had.
    """
    models_root = home.absolute() / "models"
    models_root.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    worker: DockerWorkerEntry | LocalWorkerEntry | None = None
    if engine != "local":
        try:
            worker = _container_worker(models_root, progress, base_image)
        except DemoError as error:
            if engine == "docker":
                raise
            notes.append(f"the worker is a local interpreter, because there is no container: {error}")
    if worker is None:
        worker = _local_worker(home.absolute(), models_root, progress)
        if missing := missing_system_libraries():
            notes.append(f"vLLM needs libraries that were not found; install {', '.join(missing)}")
    return DemoSetup(worker, SMOLLM2.entry(models_root), models_root, tuple(notes))


def _container_worker(models_root: Path, progress: Progress, base_image: str | None) -> DockerWorkerEntry:
    client = connect()
    try:
        access = host_package_access()
        image = build_worker_image(client, access, progress, base_image)
        spec = worker_spec(DEMO_CONTAINER, DEMO_OWNER, image, models_root, access)
        ensure_container(client, spec, progress)
    finally:
        client.close()
    return DockerWorkerEntry(
        container=DEMO_CONTAINER,
        python=WORKER_PYTHON,
        model_root=str(models_root),
        smoke_model=TOY.entry(models_root),
    )


def _local_worker(home: Path, models_root: Path, progress: Progress) -> LocalWorkerEntry:
    python = ensure_worker_venv(home / "worker-venv", progress)
    return LocalWorkerEntry(
        python=str(python),
        work_root=str(home / "worker"),
        model_root=str(models_root),
        smoke_model=TOY.entry(models_root),
    )
