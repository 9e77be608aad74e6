from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from docker.models.containers import Container

from flagrelease_assets.demo.progress import DemoError
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig
from flagrelease_assets.workers.local import LocalWorker
from tests.faults.machinery import TIMEOUTS, BreakingDockerWorkerDouble, make_toy_scripts
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


@pytest.fixture(params=["local", "docker"])
def worker(request: pytest.FixtureRequest) -> Worker:
    """A worker of each kind."""
    found: Worker = request.getfixturevalue(f"{request.param}_worker")
    return found


@pytest.fixture
def scripts_root(tmp_path: Path) -> Path:
    return make_toy_scripts(tmp_path)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Rig(tmp_path, instance)
