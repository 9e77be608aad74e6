"""Engines that stop and containers that are killed, paused, restarted or removed, in each phase of a job."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig
from flagrelease_assets.workers.docker import DockerWorker
from flagrelease_assets.workers.jobs import JobOutcome, follow_job, prepare_job, run_job, start_job
from tests.faults.machinery import (
    PASSES,
    PHASES,
    TIMEOUTS,
    BreakingDockerWorkerDouble,
    left_of,
    toy,
    wait_for,
)
from tests.faults.own_engine import PYTHON, FaultyEngine

SLOW = f"""
for number in range(10):
    print(number, flush=True)
    time.sleep(0.1)
{PASSES}
"""
LINES = [str(number) for number in range(10)]

AWAY_S = 1.0

Later = Callable[[Callable[[], object]], None]


def run(worker: DockerWorker, scripts_root: Path, code: str = SLOW) -> tuple[JobOutcome, list[str]]:
    lines: list[str] = []
    outcome = run_job(worker, toy(code), on_line=lines.append, poll_s=0.1, scripts_root=scripts_root)
    return outcome, lines


@pytest.fixture
def later() -> Iterator[Later]:
    """Does something a little later, and at the end of the test waits until it is done."""
    timers: list[threading.Timer] = []

    def start(action: Callable[[], object]) -> None:
        timers.append(threading.Timer(AWAY_S, action))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


def token_in(worker: DockerWorker) -> str:
    """Return the run token of the one job that a worker holds."""
    return worker.execute([PYTHON, "-c", READ_TOKEN]).stdout.decode().strip()


READ_TOKEN = (
    "import glob, json; (job,) = glob.glob('/tmp/flagrelease/runs/*/*/*/job.json'); "
    "print(json.load(open(job))['run_token'])"
)


@pytest.mark.parametrize("phase", PHASES)
def test_an_engine_that_is_restarted_costs_a_job_nothing(
    engine: FaultyEngine,
    docker_worker: BreakingDockerWorkerDouble,
    scripts_root: Path,
    phase: str,
    later: Later,
) -> None:
    def restart() -> None:
        engine.stop()
        later(engine.start)

    docker_worker.break_at(phase, restart)
    outcome, lines = run(docker_worker, scripts_root)
    assert outcome.completed and outcome.exit.code == 0
    assert lines == LINES, "no line is lost or doubled"
    assert left_of(outcome.run_token) == []


def test_an_engine_that_crashes_under_a_running_job_costs_it_nothing(
    engine: FaultyEngine,
    docker_worker: BreakingDockerWorkerDouble,
    scripts_root: Path,
    later: Later,
) -> None:
    def crash() -> None:
        engine.kill()
        later(engine.start)

    docker_worker.break_at("running", crash)
    outcome, lines = run(docker_worker, scripts_root)
    assert (outcome.completed, lines) == (True, LINES)
    assert outcome.reconnects >= 1
    assert left_of(outcome.run_token) == []


def test_an_engine_that_stays_away_is_named_and_the_lease_ends_the_job_without_it(
    engine: FaultyEngine, container: Container, docker_worker: BreakingDockerWorkerDouble, scripts_root: Path
) -> None:
    short = TIMEOUTS.model_copy(update={"reconnect_s": 1.0})
    config = docker_worker._config.model_copy(update={"timeouts": short})
    worker = BreakingDockerWorkerDouble(config)
    handle = prepare_job(worker, toy("time.sleep(99)", lease_s=3), scripts_root=scripts_root)
    start_job(worker, handle, {})
    engine.stop()
    try:
        with pytest.raises(
            WorkerError, match=r"Docker engine at .* does not answer.*check that the engine runs"
        ):
            follow_job(worker, handle, poll_s=0.1)
        wait_for(lambda: not left_of(handle.run_token), "end of the job by its lease")
    finally:
        engine.start()
    outcome = follow_job(docker_worker, handle, poll_s=0.1)
    assert outcome.exit.reason == "lease"


@pytest.mark.parametrize("phase", PHASES)
def test_a_paused_container_is_waited_for(
    container: Container,
    docker_worker: BreakingDockerWorkerDouble,
    scripts_root: Path,
    phase: str,
    later: Later,
) -> None:
    def pause() -> None:
        container.pause()
        later(container.unpause)

    docker_worker.break_at(phase, pause)
    outcome, lines = run(docker_worker, scripts_root)
    assert (outcome.completed, lines) == (True, LINES)
    assert left_of(outcome.run_token) == []


@pytest.mark.parametrize("phase", ["prepare", "start", "running"])
def test_a_killed_container_is_named_with_what_to_do_and_nothing_of_the_job_lives_on(
    container: Container, docker_worker: BreakingDockerWorkerDouble, scripts_root: Path, phase: str
) -> None:
    docker_worker.break_at(phase, container.kill)
    with pytest.raises(WorkerError, match="start it, then run again") as caught:
        run(docker_worker, scripts_root)
    assert caught.value.category is WorkerProblem.CONTAINER_NOT_RUNNING
    assert str(container.name) in str(caught.value)
    container.start()
    if phase != "prepare":
        assert left_of(token_in(docker_worker)) == []


def test_a_result_that_was_there_when_the_container_was_killed_is_not_lost(
    container: Container, docker_worker: BreakingDockerWorkerDouble, scripts_root: Path
) -> None:
    docker_worker.break_at("fetch", container.kill)
    outcome, lines = run(docker_worker, scripts_root)
    assert (outcome.completed, lines) == (True, LINES)


@pytest.mark.parametrize("phase", PHASES)
def test_a_restarted_container_loses_only_what_ran_in_it(
    container: Container, docker_worker: BreakingDockerWorkerDouble, scripts_root: Path, phase: str
) -> None:
    docker_worker.break_at(phase, lambda: container.restart(timeout=0))
    outcome, lines = run(docker_worker, scripts_root)
    if phase == "running":
        assert outcome.exit.reason == "lost"
        assert outcome.exit.error is not None and "the worker restarted" in outcome.exit.error
    else:
        assert (outcome.completed, lines) == (True, LINES)
    assert left_of(outcome.run_token) == []


@pytest.mark.parametrize("phase", PHASES)
def test_a_removed_container_is_named_with_where_to_look(
    container: Container, docker_worker: BreakingDockerWorkerDouble, scripts_root: Path, phase: str
) -> None:
    docker_worker.break_at(phase, lambda: container.remove(force=True))
    with pytest.raises(WorkerError, match=r"there is no container .*docker ps") as caught:
        run(docker_worker, scripts_root)
    assert caught.value.category is WorkerProblem.CONTAINER_MISSING
    assert not caught.value.retryable


def test_a_container_out_of_memory_kills_the_program_and_says_by_which_signal(
    engine: FaultyEngine, scripts_root: Path
) -> None:
    container = engine.run(mem_limit="96m", memswap_limit="96m")
    config = DockerWorkerConfig(
        container=str(container.name), engine=engine.address, python=PYTHON, timeouts=TIMEOUTS
    )
    with DockerWorker(config) as worker:
        outcome, _ = run(worker, scripts_root, "x = bytearray(1 << 28)\nx[::4096] = b'x' * len(x[::4096])")
    engine.remove(container)
    assert (outcome.exit.reason, outcome.exit.signal) == ("exited", 9)
    assert outcome.result_problem == "missing"
    assert json.loads(outcome.model_dump_json())["exit"]["survivors"] == []
    assert left_of(outcome.run_token) == []
