from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from docker.models.containers import Container

from flagrelease_assets.demo.progress import DemoError
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig
from flagrelease_assets.workers.local import LocalWorker
from tests.faults.machinery import (
    TIMEOUTS,
    WORKER_KINDS,
    BreakingDockerWorkerDouble,
    Place,
    make_toy_scripts,
)
from tests.faults.own_engine import PYTHON, FaultyEngine, own_engine, why_no_own_engine
from tests.integration.rig import Rig
from tests.requirements import cannot_test


@pytest.fixture(scope="session")
def engine() -> Iterator[FaultyEngine]:
    """An engine of this session's own."""
    if why_not := why_no_own_engine():
        cannot_test(why_not)
    try:
        with own_engine() as engine:
            yield engine
    except DemoError as error:
        cannot_test(str(error))


@pytest.fixture
def container(engine: FaultyEngine) -> Iterator[Container]:
    made = engine.run()
    yield made
    engine.remove(made)


@pytest.fixture
def docker_worker(engine: FaultyEngine, container: Container) -> Iterator[BreakingDockerWorkerDouble]:
    config = DockerWorkerConfig(
        container=str(container.name), engine=engine.address, python=PYTHON, timeouts=TIMEOUTS
    )
    with BreakingDockerWorkerDouble(config) as worker:
        yield worker


@pytest.fixture
def local_worker(tmp_path: Path) -> LocalWorker:
    return LocalWorker(
        LocalWorkerConfig(
            work_root=str(tmp_path / "root"), lock_root=str(tmp_path / "locks"), timeouts=TIMEOUTS
        )
    )


@pytest.fixture(params=WORKER_KINDS)
def worker(request: pytest.FixtureRequest) -> Worker:
    """A worker of each kind."""
    found: Worker = request.getfixturevalue(f"{request.param}_worker")
    return found


@pytest.fixture
def scripts_root(tmp_path: Path) -> Path:
    return make_toy_scripts(tmp_path)


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Place:
    """Opens a place for workers of either kind, with the folder that host and worker share."""

    @contextmanager
    def opened(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
        if kind == "local":
            yield {"kind": "local"}
            return
        engine: FaultyEngine = request.getfixturevalue("engine")
        made = engine.run(folder)
        try:
            yield {
                "kind": "docker",
                "container": str(made.name),
                "engine": engine.address,
                "python": PYTHON,
            }
        finally:
            engine.remove(made)

    return opened


@pytest.fixture(params=WORKER_KINDS)
def rig(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[Rig]:
    """An installation whose worker is this machine, and one whose worker is a container."""
    if "small_disk" in request.fixturenames:  # is mounted before a container is made that shall see it
        request.getfixturevalue("small_disk")
    with dg.DagsterInstance.ephemeral() as instance, place(request.param, tmp_path) as where:
        yield Rig(tmp_path, instance, place=where)
