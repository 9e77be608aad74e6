"""Releases on workers that are not as they should be, with a real Docker engine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import docker
import pytest
from docker.models.containers import Container

from flagrelease_assets.contracts import InstallStatus
from flagrelease_assets.contracts.common import Status
from tests.integration.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Rig(tmp_path, instance)


@pytest.fixture
def container(docker_client: docker.DockerClient, worker_image: str) -> Iterator[Container]:
    """A container of this test's own, which the test may stop or pause."""
    name = f"flagrelease-bad-{secrets.token_hex(4)}"
    made = docker_client.containers.run(worker_image, ["sleep", "600"], name=name, detach=True, init=True)
    yield made
    made.remove(force=True)


def use(rig: Rig, container: str, **settings: object) -> None:
    timeouts = {"connect_s": 20, "reconnect_s": 5}
    rig.workers = {"cpu": {"kind": "docker", "container": container, "timeouts": timeouts, **settings}}


def assert_report_blames_the_worker(rig: Rig, category: str, *words: str) -> None:
    """Check that the run ends in a FAIL report whose conclusion holds the install step's fatal cause."""
    report = rig.run().report
    assert report is not None and report.status == Status.FAIL
    (error,) = rig.document(InstallStatus, "install_status").errors
    assert (error.step, error.layer, error.component) == ("install_status", "X", "user")
    assert (error.category, error.fatal) == (category, True)
    for word in words:
        assert word in error.cause
        assert word in report.conclusion
    assert {line.status for line in report.step_lines[1:]} == {Status.BLOCKED}


def test_a_missing_container_is_named_with_where_to_look(
    rig: Rig, docker_client: docker.DockerClient
) -> None:
    name = f"flagrelease-none-{secrets.token_hex(4)}"
    use(rig, name)
    assert_report_blames_the_worker(rig, "container_missing", f"no container {name!r}", "docker ps")


def test_a_stopped_container_says_to_start_it(rig: Rig, container: Container) -> None:
    container.stop(timeout=0)
    use(rig, str(container.name))
    assert_report_blames_the_worker(rig, "container_not_running", str(container.name), "start it")


def test_a_paused_container_says_to_unpause_it(rig: Rig, container: Container) -> None:
    container.pause()
    use(rig, str(container.name))
    assert_report_blames_the_worker(rig, "container_not_running", "is paused", "unpause it")


def test_a_container_without_the_interpreter_names_the_setting(rig: Rig, container: Container) -> None:
    use(rig, str(container.name), python="/nowhere/python3")
    assert_report_blames_the_worker(rig, "python_missing", "/nowhere/python3", "set `python`")


def test_a_container_with_the_interpreter_gets_past_all_that(rig: Rig, container: Container) -> None:
    use(rig, str(container.name))
    rig.run(job="install")
    assert rig.document(InstallStatus, "install_status").status == Status.PASS
