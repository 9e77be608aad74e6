"""Programs that misbehave in every way, in each kind of worker: always an outcome, never anything left."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from container_scripts.processes import ProcessId, is_alive
from flagrelease_assets.workers import jobs
from flagrelease_assets.workers.base import Completed, Worker, WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig
from flagrelease_assets.workers.docker import DockerWorker
from flagrelease_assets.workers.jobs import (
    JobHandle,
    JobOutcome,
    cancel_job,
    follow_job,
    prepare_job,
    run_job,
    start_job,
)
from flagrelease_assets.workers.local import LocalWorker
from tests.faults.machinery import PASSES, WORKER_KINDS, left_of, toy, wait_for
from tests.faults.own_engine import PYTHON, FaultyEngine

MEGABYTE = 1 << 20


def run(worker: Worker, scripts_root: Path, code: str, **settings: Any) -> JobOutcome:
    return run_job(worker, toy(code, **settings), poll_s=0.1, scripts_root=scripts_root)


def start(worker: Worker, scripts_root: Path, code: str, **settings: Any) -> JobHandle:
    handle = prepare_job(worker, toy(code, **settings), scripts_root=scripts_root)
    start_job(worker, handle, {})
    return handle


def state_of(worker: Worker, handle: JobHandle) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(worker.read_file(f"{handle.job_dir}/state.json", max_bytes=MEGABYTE))
    return content


def assert_nothing_left(outcome: JobOutcome) -> None:
    assert outcome.exit.survivors == ()
    assert left_of(outcome.run_token) == []


def test_a_program_that_ignores_term_is_killed_at_its_deadline(worker: Worker, scripts_root: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    outcome = run(worker, scripts_root, code, deadline_s=1.5, grace_s=0.5)
    assert (outcome.exit.reason, outcome.exit.signal) == ("deadline", signal.SIGKILL)
    assert "KILL" in {process.signal for process in outcome.exit.terminated}
    assert_nothing_left(outcome)


FORK_BOMB = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for generation in range(6):
    os.fork()
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
    time.sleep(0.3)
"""


def test_a_bounded_fork_bomb_that_ignores_term_is_ended_whole(worker: Worker, scripts_root: Path) -> None:
    outcome = run(worker, scripts_root, FORK_BOMB, deadline_s=2.0, grace_s=0.5)
    assert outcome.exit.reason == "deadline"
    assert len(outcome.exit.terminated) >= 60
    assert_nothing_left(outcome)


def test_a_child_that_leaves_its_session_does_not_outlive_the_program(
    worker: Worker, scripts_root: Path
) -> None:
    code = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(99)"])
    os._exit(0)
os.wait()
{PASSES}
"""
    outcome = run(worker, scripts_root, code)
    assert outcome.completed
    assert [process.signal for process in outcome.exit.terminated] == ["TERM"]
    assert_nothing_left(outcome)


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", (None, signal.SIGSEGV)),
        ("os.kill(os.getpid(), signal.SIGKILL)", (None, signal.SIGKILL)),
        ("os._exit(137)", (137, None)),
        ("os.abort()", (None, signal.SIGABRT)),
    ],
    ids=["segfault", "killed", "exit 137", "abort"],
)
def test_a_program_that_dies_is_an_outcome_with_its_ending(
    worker: Worker, scripts_root: Path, code: str, ending: tuple[int | None, int | None]
) -> None:
    outcome = run(worker, scripts_root, f"print('last words', flush=True)\n{code}")
    assert (outcome.exit.code, outcome.exit.signal) == ending
    assert outcome.result_problem == "missing"
    assert outcome.log_tail == ("last words",)
    assert_nothing_left(outcome)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("pass", "missing"),
        ("open(output, 'w').write('{\"run_token\": \"' + token)", "truncated"),
        ("open(output, 'w').write('INFO all is well')", "not_json"),
        ("open(output, 'w').write('[' * 100000)", "not_json"),
        ("write({'run_token': 'of an earlier run', 'status': 'PASS'})", "wrong_run"),
        ("write({'run_token': token, 'x': 'x' * 200000})", "too_large"),
    ],
    ids=["missing", "truncated", "no JSON", "deep", "of another run", "too large"],
)
def test_a_result_that_cannot_be_used_is_named_as_what_it_is(
    worker: Worker, scripts_root: Path, code: str, problem: str
) -> None:
    outcome = run(worker, scripts_root, code, result_limit_bytes=110_000)
    assert (outcome.result, outcome.result_problem) == (None, problem)
    assert_nothing_left(outcome)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_a_result_that_is_no_file_is_refused(worker: Worker, scripts_root: Path, kind: str) -> None:
    make = {
        "a link": "os.symlink('/etc/hosts', output)",
        "a pipe": "os.mkfifo(output)",
        "a folder": "os.mkdir(output)",
    }
    with pytest.raises(WorkerError) as caught:
        run(worker, scripts_root, make[kind])
    assert caught.value.category is WorkerProblem.TRANSFER
    assert "result.json" in str(caught.value)


def test_a_log_without_a_newline_arrives_in_pieces_that_add_up(worker: Worker, scripts_root: Path) -> None:
    lines: list[str] = []
    code = f"sys.stdout.write('x' * {3 * MEGABYTE + 5})\n{PASSES}"
    outcome = run_job(worker, toy(code), on_line=lines.append, poll_s=0.1, scripts_root=scripts_root)
    assert outcome.completed
    assert "".join(lines) == "x" * (3 * MEGABYTE + 5)
    assert max(map(len, lines)) <= MEGABYTE


def test_a_binary_log_does_not_stop_the_job(worker: Worker, scripts_root: Path, tmp_path: Path) -> None:
    code = f"sys.stdout.buffer.write(bytes(range(256)) * 2000); sys.stdout.flush()\n{PASSES}"
    log_file = tmp_path / "kept.log"
    spec = toy(code)
    outcome = run_job(worker, spec, log_file=log_file, poll_s=0.1, scripts_root=scripts_root)
    assert outcome.completed
    assert log_file.read_text(encoding="utf-8").count("\ufffd") > 100_000


def test_a_huge_log_keeps_head_and_tail_in_bounded_memory_and_says_what_it_leaves_out(
    worker: Worker, scripts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gigabyte, most of it a hole: what counts is what the host takes, not how fast a disk is."""
    monkeypatch.setattr(jobs, "LOG_HEAD_BYTES", 4 * MEGABYTE)
    monkeypatch.setattr(jobs, "LOG_TAIL_BYTES", 2 * MEGABYTE)
    code = f"""
for number in range(100_000):
    print(number, 'x' * 50)
sys.stdout.flush()
os.ftruncate(1, 1 << 30)
print('the last line', flush=True)
{PASSES}
"""
    log_file = tmp_path / "kept.log"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = run_job(worker, toy(code), log_file=log_file, poll_s=0.1, scripts_root=scripts_root)
    assert outcome.completed
    assert log_file.stat().st_size < 16 * MEGABYTE
    text = log_file.read_text(encoding="utf-8")
    assert text.startswith("0 xxx")
    assert "bytes of log left out here" in text
    assert outcome.log_tail[-1].endswith("the last line")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 200 * 1024, "KiB"


def test_a_supervisor_that_is_killed_makes_the_job_lost_and_the_next_look_ends_what_is_left(
    worker: Worker, scripts_root: Path
) -> None:
    code = "subprocess.Popen(['sleep', '98'], start_new_session=True); time.sleep(99)"
    handle = start(worker, scripts_root, code)
    wait_for(lambda: len(left_of(handle.run_token)) >= 2, "program and its child")
    kill = f"import os; os.kill({state_of(worker, handle)['supervisor'][0]}, 9)"
    assert worker.execute([worker.python().executable, "-c", kill]).code == 0
    outcome = follow_job(worker, handle, poll_s=0.1)
    assert outcome.exit.reason == "lost"
    assert outcome.exit.error is not None and "supervisor of the job vanished" in outcome.exit.error
    assert_nothing_left(outcome)


def test_a_supervisor_killed_before_it_recorded_anything_leaves_nothing_either(
    local_worker: LocalWorker, scripts_root: Path
) -> None:
    handle = start(local_worker, scripts_root, "time.sleep(99)")
    state = state_of(local_worker, handle)
    os.kill(state["supervisor"][0], signal.SIGSTOP)
    wait_for(lambda: left_of(handle.run_token), "program")
    Path(handle.job_dir, "state.json").write_text(json.dumps({**state, "processes": []}))
    os.kill(state["supervisor"][0], signal.SIGKILL)
    outcome = follow_job(local_worker, handle, poll_s=0.1)
    assert outcome.exit.reason == "lost"
    assert_nothing_left(outcome)


def test_a_pid_that_was_given_to_somebody_else_is_never_hit(
    local_worker: LocalWorker, scripts_root: Path
) -> None:
    """The records of a dead job name the pid of a process that is no longer the same one."""
    handle = start(local_worker, scripts_root, PASSES)
    follow_job(local_worker, handle, poll_s=0.1)
    bystander = start(local_worker, scripts_root, "time.sleep(99)", run_id="run-2")
    (process, *_) = wait_for(lambda: left_of(bystander.run_token), "bystander")
    state = state_of(local_worker, handle)
    other_start = [process.id.pid, process.id.start_ticks - 1, process.name]
    stale = {**state, "supervisor": other_start[:2], "processes": [other_start]}
    Path(handle.job_dir, "state.json").write_text(json.dumps(stale))
    Path(handle.job_dir, "exit.json").unlink()
    outcome = follow_job(local_worker, handle, poll_s=0.1)
    assert outcome.exit.reason == "lost"
    assert is_alive(ProcessId(*process.id)), "a process of another run was ended"
    cancel_job(local_worker, bystander)
    assert left_of(bystander.run_token) == []


CLOCK_JUMP = """
import time
_real, _began = time.time, time.monotonic()
def _jumping():
    away = time.monotonic() - _began
    return _real() + (0 if away < 0.5 else 400 * 86400 if away < 1.0 else -400 * 86400)
time.time = _jumping
"""


@pytest.fixture(params=WORKER_KINDS)
def jumping_worker(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """A worker every Python of which sees a date that jumps forth and back."""
    clock = tmp_path / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(CLOCK_JUMP)
    if request.param == "local":
        monkeypatch.setenv("PYTHONPATH", str(clock))
        yield request.getfixturevalue("local_worker")
        return
    engine: FaultyEngine = request.getfixturevalue("engine")
    container = engine.run(clock, {"PYTHONPATH": str(clock)})
    config = DockerWorkerConfig(container=str(container.name), engine=engine.address, python=PYTHON)
    with DockerWorker(config) as worker:
        yield worker
    engine.remove(container)


def test_a_clock_that_jumps_by_a_year_ends_no_job_and_prolongs_none(
    jumping_worker: Worker, scripts_root: Path
) -> None:
    code = f"first = time.time(); time.sleep(1.5); print(abs(time.time() - first) > 86400)\n{PASSES}"
    outcome = run(jumping_worker, scripts_root, code, lease_s=30, idle_s=30)
    assert outcome.completed
    assert outcome.log_tail == ("True",), "the clock did jump"
    ended = run(jumping_worker, scripts_root, "time.sleep(99)", deadline_s=2)
    assert ended.exit.reason == "deadline"


class CutWorkerDouble(LocalWorker):
    """A local worker whose connection breaks at every other poll, before it or after it was answered."""

    polls = 0

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        if "poll" not in argv:
            return super().execute(argv, timeout_s=timeout_s, env=env)
        self.polls += 1
        if self.polls % 4 == 1:
            raise WorkerError(WorkerProblem.ENGINE_UNREACHABLE, "connection reset", retryable=True)
        done = super().execute(argv, timeout_s=timeout_s, env=env)
        return Completed(done.code, done.stdout[:-9], b"") if self.polls % 4 == 3 else done


def test_a_connection_that_is_cut_in_the_middle_of_the_log_loses_and_doubles_no_line(
    local_worker: LocalWorker, scripts_root: Path
) -> None:
    worker = CutWorkerDouble(local_worker._config)
    code = f"for number in range(90_000): print(number, 'é' * 30)\n{PASSES}"
    lines: list[str] = []
    outcome = run_job(worker, toy(code), on_line=lines.append, poll_s=0.05, scripts_root=scripts_root)
    assert outcome.completed
    assert lines == [f"{number} {'é' * 30}" for number in range(90_000)]
    assert outcome.reconnects >= 1


def test_a_host_that_is_gone_costs_the_job_its_life_once_the_lease_is_over(
    worker: Worker, scripts_root: Path
) -> None:
    handle = start(worker, scripts_root, "time.sleep(99)", lease_s=2)
    wait_for(lambda: left_of(handle.run_token), "program")
    wait_for(lambda: not left_of(handle.run_token), "end by lease")
    assert follow_job(worker, handle, poll_s=0.1).exit.reason == "lease"


def test_a_job_that_is_cancelled_ends_within_ten_seconds_even_if_it_ignores_term(
    worker: Worker, scripts_root: Path
) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: time.sleep(1)"
    handle = start(worker, scripts_root, code, grace_s=600)
    wait_for(lambda: left_of(handle.run_token), "program")
    began = time.monotonic()
    ended = cancel_job(worker, handle)
    assert ended is not None and (ended.reason, ended.survivors) == ("cancelled", ())
    assert time.monotonic() - began < 10
    assert left_of(handle.run_token) == []


def test_two_hosts_that_follow_one_job_both_get_everything(worker: Worker, scripts_root: Path) -> None:
    handle = start(
        worker, scripts_root, f"for n in range(5): print(n, flush=True); time.sleep(0.2)\n{PASSES}"
    )
    seen: list[JobOutcome] = []
    other = threading.Thread(target=lambda: seen.append(follow_job(worker, handle, poll_s=0.1)))
    other.start()
    outcome = follow_job(worker, handle, poll_s=0.1)
    other.join(30)
    assert [one.log_tail for one in (outcome, *seen)] == [("0", "1", "2", "3", "4")] * 2
    assert outcome.completed and seen[0].completed


def test_a_port_that_a_server_of_another_run_answers_is_refused_and_that_server_lives_on(
    worker: Worker, scripts_root: Path
) -> None:
    serve = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    stale = start(worker, scripts_root, f"{serve}\ntime.sleep(99)", run_id="run-0")
    log = f"{stale.job_dir}/log.txt"
    wait_for(lambda: left_of(stale.run_token), "stale server")
    port = wait_for(lambda: worker.read_file(log, max_bytes=99).decode().strip(), "its port")
    arguments = ("--model", "m", "--port", port, "--log", "{job_dir}/server.log")
    spec = toy("", step="serve").model_copy(update={"program": "test_serve_mode", "arguments": arguments})
    outcome = run_job(worker, spec, poll_s=0.1, scripts_root=scripts_root)
    assert outcome.result is not None
    assert (outcome.result["status"], outcome.result["category"]) == ("FAIL", "port_in_use")
    assert left_of(stale.run_token), "the server of another run was touched"
    cancel_job(worker, stale)
