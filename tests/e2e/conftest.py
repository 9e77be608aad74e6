"""Real parts for the end-to-end tests: a Docker engine, a worker image, a container, models."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from flagrelease_assets.demo.container import WORKER_PYTHON, ensure_container, remove_container, worker_spec
from flagrelease_assets.demo.engine import connect, start_engine, stop_engine, why_no_engine_can_be_started
from flagrelease_assets.demo.image import build_worker_image
from flagrelease_assets.demo.models import TOY, make_model
from flagrelease_assets.demo.package_access import PackageAccess, host_package_access
from flagrelease_assets.demo.progress import DemoError
from flagrelease_assets.workers.config import DockerWorkerConfig
from flagrelease_assets.workers.factory import open_worker
from tests.requirements import cannot_test


@pytest.fixture(scope="session")
def docker_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    """A client of the engine that answers, or of one that lives as long as this session."""
    own = None
    try:
        client = connect()
    except DemoError as error:
        if why_not := why_no_engine_can_be_started():
            cannot_test(f"{error}; {why_not}")
        own = start_engine(tmp_path_factory.mktemp("engine"))
        client = connect()
    yield client
    client.close()
    if own:
        stop_engine(own)


@pytest.fixture(scope="session")
def package_access() -> PackageAccess:
    """The host's own access to Python packages."""
    return host_package_access()


@pytest.fixture(scope="session")
def worker_image(docker_client: docker.DockerClient, package_access: PackageAccess) -> str:
    """The id of the worker image, built here."""
    return build_worker_image(docker_client, package_access, print)


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models that host and worker see under one path."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def worker_container(
    docker_client: docker.DockerClient, worker_image: str, models_root: Path, package_access: PackageAccess
) -> Iterator[Container]:
    """A fresh worker container without vLLM, removed at the end of the session."""
    name = owner = f"flagrelease-e2e-{secrets.token_hex(4)}"
    spec = worker_spec(name, owner, worker_image, models_root, package_access)
    yield ensure_container(docker_client, spec, print)
    remove_container(docker_client, name, owner)


@pytest.fixture(scope="session")
def worker_config(worker_container: Container) -> DockerWorkerConfig:
    """What a deployment file would say of the worker container."""
    return DockerWorkerConfig(container=str(worker_container.name), python=WORKER_PYTHON)


@pytest.fixture(scope="session")
def toy_model(worker_config: DockerWorkerConfig, models_root: Path) -> Path:
    """The toy model's folder; ask for it after vLLM (and with it torch) is installed in the container."""
    with open_worker(worker_config) as worker:
        return make_model(worker, TOY, models_root, print)
