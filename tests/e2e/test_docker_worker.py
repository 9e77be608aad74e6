"""The Docker worker with a real engine: commands, files, jobs, and what can be wrong with a container."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig, WorkerTimeouts
from flagrelease_assets.workers.docker import DockerWorker
from flagrelease_assets.workers.jobs import (
    SCRIPTS_ROOT,
    JobSpec,
    cancel_job,
    follow_job,
    prepare_job,
    run_job,
    start_job,
)

IMAGE = os.environ.get("FLAGRELEASE_TEST_IMAGE", "flagrelease-base:bookworm")

TOY_PROGRAM = """
import json, os, signal, subprocess, sys, time
code, *argv = sys.argv[1:-2]
output, token = sys.argv[-1], os.environ["FLAGRELEASE_RUN_TOKEN"]

def write(document):
    with open(output, "w") as handle:
        json.dump(document, handle)

exec(code)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=30)
        client.images.get(IMAGE)
    except docker.errors.DockerException as error:
        reason = f"needs a Docker engine with image {IMAGE}: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield client
    client.close()


@pytest.fixture
def make_container(engine: docker.DockerClient) -> Iterator[Callable[..., Container]]:
    made: list[Container] = []

    def make(**options: Any) -> Container:
        name = f"flagrelease-test-{uuid.uuid4().hex[:8]}"
        made.append(
            engine.containers.run(IMAGE, ["sleep", "600"], name=name, detach=True, init=True, **options)
        )
        return made[-1]

    yield make
    for container in made:
        container.remove(force=True)


@pytest.fixture
def container(make_container: Callable[..., Container]) -> Container:
    return make_container()


@pytest.fixture
def worker(container: Container) -> Iterator[DockerWorker]:
    with DockerWorker(DockerWorkerConfig(container=container.name or "")) as worker:
        yield worker


@pytest.fixture
def scripts_root(tmp_path: Path) -> Path:
    root = tmp_path / "container_scripts"
    root.mkdir()
    for path in SCRIPTS_ROOT.glob("*.py"):
        (root / path.name).write_bytes(path.read_bytes())
    (root / "toy.py").write_text(TOY_PROGRAM)
    return root


def spec(code: str, *arguments: str, **settings: Any) -> JobSpec:
    defaults: dict[str, Any] = {"deadline_s": 60, "idle_s": 60, "grace_s": 1}
    return JobSpec(
        run_id="run-1",
        step="step",
        name="toy",
        program="toy",
        arguments=(code, *arguments),
        **{**defaults, **settings},
    )


def process_names(container: Container) -> list[str]:
    table = container.top(ps_args="-o pid,comm,state")
    return [row[1] for row in table["Processes"] if row[2] != "Z"]


def test_identity_names_container_image_and_interpreter(worker: DockerWorker, container: Container) -> None:
    identity = worker.identity()
    assert identity.container_id == container.id
    assert identity.image_id is not None and identity.image_id.startswith("sha256:")
    assert identity.image == IMAGE
    assert identity.python.version >= (3, 8)


def test_command_keeps_streams_code_arguments_and_environment_apart(worker: DockerWorker) -> None:
    code = "import os, sys; print(sys.argv[1]); sys.stderr.write(os.environ['WORD']); sys.exit(7)"
    done = worker.execute(
        [worker.python().executable, "-c", code, "x'; touch /tmp/pwn; '"], env={"WORD": "$HOME"}
    )
    assert (done.code, done.stdout, done.stderr) == (7, b"x'; touch /tmp/pwn; '\n", b"$HOME")
    assert worker.execute(["test", "-e", "/tmp/pwn"]).code == 1


def test_command_that_does_not_end_is_a_timeout_and_the_next_one_works(worker: DockerWorker) -> None:
    with pytest.raises(WorkerError, match="within 1 s") as caught:
        worker.execute(["sleep", "5"], timeout_s=1)
    assert caught.value.category is WorkerProblem.TIMEOUT
    assert worker.execute(["true"]).code == 0


def test_files_go_in_and_come_back(worker: DockerWorker) -> None:
    folder = f"{worker.work_root}/runs/my run"
    worker.put_files(folder, {"one.json": b"1", "large.bin": bytes(range(256)) * 8192})
    assert worker.read_file(f"{folder}/large.bin", max_bytes=2 << 20) == bytes(range(256)) * 8192
    assert set(worker.read_folder(folder, max_bytes=3 << 20)) == {"one.json", "large.bin"}
    assert worker.execute(["stat", "-c", "%a %U", folder]).stdout == b"700 root\n"


def test_missing_large_and_linked_files_are_told_apart(worker: DockerWorker) -> None:
    worker.put_files(worker.work_root, {"large": b"123456"})
    worker.execute(["ln", "-s", "/etc/passwd", f"{worker.work_root}/link"])
    found = {}
    for name in ("missing", "large", "link"):
        with pytest.raises(WorkerError) as caught:
            worker.read_file(f"{worker.work_root}/{name}", max_bytes=5)
        found[name] = caught.value.category
    assert found == {
        "missing": WorkerProblem.FILE_MISSING,
        "large": WorkerProblem.FILE_TOO_LARGE,
        "link": WorkerProblem.TRANSFER,
    }


def test_folder_with_a_link_in_it_is_refused(worker: DockerWorker) -> None:
    worker.put_files(f"{worker.work_root}/out", {"a": b"1"})
    worker.execute(["ln", "-s", "/etc/passwd", f"{worker.work_root}/out/link"])
    with pytest.raises(WorkerError, match="link, a device"):
        worker.read_folder(f"{worker.work_root}/out", max_bytes=1000)


def test_job_brings_log_and_result_back(worker: DockerWorker, scripts_root: Path) -> None:
    code = "print('héllo'); write({'run_token': token, 'argv': argv, 'secret': os.environ['HF_TOKEN'][:3]})"
    job = spec(code, "a b", "x'; touch /tmp/pwn; '", secret_env={"HF_TOKEN": "hf_12345678"})
    lines: list[str] = []
    outcome = run_job(worker, job, on_line=lines.append, poll_s=0.1, scripts_root=scripts_root)
    assert outcome.completed
    assert outcome.result is not None
    assert (outcome.result["argv"], outcome.result["secret"]) == (["a b", "x'; touch /tmp/pwn; '"], "hf_")
    assert lines == ["héllo"]


def test_job_over_its_deadline_leaves_no_process_even_if_it_ignores_term(
    worker: DockerWorker, container: Container, scripts_root: Path
) -> None:
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['setsid', 'sleep', '599'])\n"
        "time.sleep(99)"
    )
    outcome = run_job(worker, spec(code, deadline_s=2), poll_s=0.1, scripts_root=scripts_root)
    assert (outcome.exit.reason, outcome.exit.signal) == ("deadline", signal.SIGKILL)
    assert outcome.exit.survivors == ()
    assert outcome.result_problem == "missing"
    assert process_names(container).count("sleep") == 1, "only the container's own process is left"
    assert "python3" not in process_names(container)


def test_interrupt_of_the_host_ends_the_job_in_the_container(
    worker: DockerWorker, container: Container, scripts_root: Path
) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_job(
            worker,
            spec("print('up', flush=True); time.sleep(99)"),
            on_line=interrupt,
            poll_s=0.1,
            scripts_root=scripts_root,
        )
    assert time.monotonic() - began < 15
    assert "python3" not in process_names(container)


def test_job_goes_on_without_a_host_and_another_one_collects_it(
    worker: DockerWorker, container: Container, scripts_root: Path
) -> None:
    code = "print('first', flush=True); time.sleep(2); print('last'); write({'run_token': token})"
    handle = prepare_job(worker, spec(code), scripts_root=scripts_root)
    start_job(worker, handle, {})
    worker.close()
    with DockerWorker(DockerWorkerConfig(container=container.name or "")) as later:
        outcome = follow_job(later, handle, poll_s=0.1)
    assert outcome.completed
    assert outcome.log_tail == ("first", "last")


def test_job_in_a_restarted_container_is_lost(
    worker: DockerWorker, container: Container, scripts_root: Path
) -> None:
    handle = prepare_job(worker, spec("time.sleep(99)"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    container.restart(timeout=0)
    outcome = follow_job(worker, handle, poll_s=0.1)
    assert outcome.exit.reason == "lost"
    assert outcome.exit.survivors == ()


def test_paused_container_is_waited_for(
    worker: DockerWorker, container: Container, scripts_root: Path
) -> None:
    handle = prepare_job(worker, spec("time.sleep(99)"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    container.pause()
    with pytest.raises(WorkerError, match="is paused") as caught:
        cancel_job(worker, handle)
    assert caught.value.retryable
    container.unpause()
    ended = cancel_job(worker, handle)
    assert ended is not None and ended.reason == "cancelled"


def test_work_root_on_a_tmpfs_is_explained(
    make_container: Callable[..., Container], scripts_root: Path
) -> None:
    container = make_container(tmpfs={"/tmp": "size=16m"})
    with (
        DockerWorker(DockerWorkerConfig(container=container.name or "")) as worker,
        pytest.raises(WorkerError, match="tmpfs: set `work_root`") as caught,
    ):
        prepare_job(worker, spec("pass"), scripts_root=scripts_root)
    assert caught.value.category is WorkerProblem.TRANSFER


def test_missing_container_is_named(engine: docker.DockerClient) -> None:
    with (
        DockerWorker(DockerWorkerConfig(container="flagrelease-test-none")) as worker,
        pytest.raises(WorkerError, match=r"no container 'flagrelease-test-none'.*docker ps") as caught,
    ):
        worker.identity()
    assert caught.value.category is WorkerProblem.CONTAINER_MISSING
    assert not caught.value.retryable


@pytest.mark.parametrize("ask", [DockerWorker.identity, DockerWorker.python])
def test_stopped_container_is_not_running(
    worker: DockerWorker, container: Container, ask: Callable[[DockerWorker], object]
) -> None:
    container.stop(timeout=0)
    with pytest.raises(WorkerError, match="start it") as caught:
        ask(worker)
    assert caught.value.category is WorkerProblem.CONTAINER_NOT_RUNNING
    assert not caught.value.retryable


@pytest.mark.parametrize("python", ["/nowhere/python3", "/etc/passwd", "/bin/echo"])
def test_container_without_the_interpreter_names_the_setting(container: Container, python: str) -> None:
    config = DockerWorkerConfig(container=container.name or "", python=python)
    with DockerWorker(config) as worker, pytest.raises(WorkerError, match="set `python`") as caught:
        worker.python()
    assert caught.value.category is WorkerProblem.PYTHON_MISSING
    assert python in caught.value.cause


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "ssh://nobody@127.0.0.1:1"])
def test_unreachable_engine_is_one_clear_line(address: str) -> None:
    config = DockerWorkerConfig(container="c", engine=address, timeouts=WorkerTimeouts(connect_s=10))
    with DockerWorker(config) as worker, pytest.raises(WorkerError, match="does not answer") as caught:
        worker.identity()
    assert caught.value.category is WorkerProblem.ENGINE_UNREACHABLE
    assert caught.value.retryable
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)
