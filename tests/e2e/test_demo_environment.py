"""Tests of the demonstration's worker against a real Docker engine."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import shutil
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from container_scripts.commands import run_command
from flagrelease_assets.demo.container import (
    SHM_SIZE,
    WORKER_PYTHON,
    ContainerSpec,
    ensure_container,
    remove_container,
    worker_spec,
)
from flagrelease_assets.demo.image import build_worker_image
from flagrelease_assets.demo.models import TOY, make_model
from flagrelease_assets.demo.package_access import BindMount, PackageAccess, package_access
from flagrelease_assets.demo.progress import DemoError
from flagrelease_assets.workers.config import DockerWorkerConfig
from flagrelease_assets.workers.factory import open_worker

OWNER = "flagrelease-environment-test"


def run_in(container: Container, *command: str) -> str:
    code, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    assert code == 0, output.decode()
    return output.decode()


@pytest.fixture
def spec(docker_client: docker.DockerClient, worker_image: str, tmp_path: Path) -> Iterator[ContainerSpec]:
    name = f"{OWNER}-{secrets.token_hex(4)}"
    yield worker_spec(name, OWNER, worker_image, tmp_path, package_access({}, {}))
    remove_container(docker_client, name, OWNER)


def write_wheel(folder: Path, name: str) -> Path:
    """Write the smallest wheel that pip installs: a distribution without modules."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", tags)
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


def test_worker_has_what_vllm_needs_of_a_system(worker_container: Container) -> None:
    assert run_in(worker_container, "python3", "-c", "import sys; print(sys.prefix)").strip() == "/opt/worker"
    libraries = "import ctypes; [ctypes.CDLL(name) for name in ('libnuma.so.1', 'libgomp.so.1')]"
    run_in(worker_container, "python3", "-c", libraries)
    assert "2.0G" in run_in(worker_container, "df", "-h", "/dev/shm"), SHM_SIZE
    run_in(worker_container, "ps", "-e")


def test_worker_reaches_a_package_as_its_host_does(worker_container: Container) -> None:
    run_in(
        worker_container,
        "python3",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--dest",
        "/tmp/wheels",
        "iniconfig",
    )
    assert "iniconfig-" in run_in(worker_container, "ls", "/tmp/wheels")


def test_file_index_and_folder_of_links_of_the_host_serve_the_worker(
    docker_client: docker.DockerClient, worker_image: str, tmp_path: Path
) -> None:
    links, files, page = (tmp_path / part for part in ("links", "mirror/files", "mirror/simple/from-index"))
    for folder in (links, files, page):
        folder.mkdir(parents=True)
    write_wheel(links, "from_links")
    wheel = write_wheel(files, "from_index")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page.joinpath("index.html").write_text(
        f'<a href="../../files/{wheel.name}#sha256={digest}">{wheel.name}</a>'
    )
    access = package_access({"index-url": page.parent.as_uri(), "find-links": str(links)}, {})
    name = f"{OWNER}-{secrets.token_hex(4)}"
    worker = ensure_container(docker_client, worker_spec(name, OWNER, worker_image, tmp_path, access), print)
    try:
        run_in(worker, "python3", "-m", "pip", "install", "from-links", "from-index")
        listing = run_in(worker, "python3", "-m", "pip", "list", "--format", "freeze")
    finally:
        remove_container(docker_client, name, OWNER)
    assert {"from-links==1.0", "from-index==1.0"} <= set(listing.replace("_", "-").split())


def test_torch_wheel_of_the_hosts_folder_of_links_is_found(
    worker_container: Container, package_access: PackageAccess
) -> None:
    links = package_access.environment.get("PIP_FIND_LINKS", "").split()
    wheels = [wheel for link in links if "://" not in link for wheel in Path(link).glob("torch-*.whl")]
    if not wheels:
        pytest.skip("this host's pip has no folder with a torch wheel in find-links")
    version = wheels[0].name.split("-")[1]
    command = ["pip", "download", "--no-index", "--no-deps", "--dest", "/tmp/torch", f"torch=={version}"]
    assert wheels[0].name in run_in(worker_container, "python3", "-m", *command)


def test_model_folder_is_writable_under_its_own_path(worker_container: Container, models_root: Path) -> None:
    run_in(worker_container, "touch", str(models_root / "seen"))
    assert (models_root / "seen").exists()


def test_container_made_alike_is_used_again(docker_client: docker.DockerClient, spec: ContainerSpec) -> None:
    first = ensure_container(docker_client, spec, print)
    first.stop(timeout=0)
    again = ensure_container(docker_client, spec, print)
    again.reload()
    assert (again.id, again.status) == (first.id, "running")


def test_container_with_other_mounts_is_replaced(
    docker_client: docker.DockerClient, spec: ContainerSpec, tmp_path: Path
) -> None:
    first = ensure_container(docker_client, spec, print)
    changed = dataclasses.replace(spec, mounts=(*spec.mounts, BindMount(tmp_path, "/elsewhere")))
    assert ensure_container(docker_client, changed, print).id != first.id


def test_container_of_someone_else_is_never_removed(
    docker_client: docker.DockerClient, spec: ContainerSpec, worker_image: str
) -> None:
    foreign = docker_client.containers.run(worker_image, ["sleep", "60"], name=spec.name, detach=True)
    try:
        with pytest.raises(DemoError, match="not ours"):
            ensure_container(docker_client, spec, print)
        foreign.reload()
        assert foreign.status == "running"
    finally:
        foreign.remove(force=True)


def test_model_before_vllm_is_refused_naming_the_package_it_lacks(
    docker_client: docker.DockerClient, spec: ContainerSpec, tmp_path: Path
) -> None:
    ensure_container(docker_client, spec, print)
    config = DockerWorkerConfig(container=spec.name, python=WORKER_PYTHON)
    with open_worker(config) as worker, pytest.raises(DemoError, match="torch"):
        make_model(worker, TOY, tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_missing_base_image_is_said_and_not_replaced(
    docker_client: docker.DockerClient, package_access: PackageAccess
) -> None:
    with pytest.raises(DemoError, match="flagrelease-no-such-image"):
        build_worker_image(
            docker_client, package_access, print, base="flagrelease-no-such-image:1", tag="unused:1"
        )


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dockerd"), reason="needs root and dockerd")
def test_own_engine_answers_after_start_and_not_after_stop(tmp_path: Path) -> None:
    """In a network of its own: a second engine would take down the bridge of the first."""
    program = textwrap.dedent(
        """
        import pathlib, sys
        from flagrelease_assets.demo.engine import connect, start_engine, stop_engine
        from flagrelease_assets.demo.progress import DemoError

        folder = pathlib.Path(sys.argv[1])
        places = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "docker.pid"}
        arguments = [f"{option}={folder / name}" for option, name in places.items()]
        address = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
        arguments += ["--bridge=none", "--iptables=false"]
        engine = start_engine(folder, folder / "docker.sock", arguments)
        try:
            print("containers", connect(address).containers.list(all=True))
        finally:
            stop_engine(engine)
        try:
            connect(address)
        except DemoError as error:
            print(error)
        """
    )
    command = ["unshare", "--net", sys.executable, "-c", program, str(tmp_path)]
    finished = run_command(command, timeout_s=120)
    assert finished.succeeded, finished.output
    assert "containers []" in finished.output
    assert "no Docker engine answers" in finished.output
