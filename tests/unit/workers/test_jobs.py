"""Jobs in a real worker: arguments, logs, results, interruptions."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from container_scripts.processes import all_processes, has_variable
from container_scripts.scripts_digest import script_files, scripts_digest
from flagrelease_assets.redaction import REDACTED
from flagrelease_assets.workers import jobs
from flagrelease_assets.workers.base import Completed, WorkerError, WorkerProblem
from flagrelease_assets.workers.config import LocalWorkerConfig, WorkerTimeouts
from flagrelease_assets.workers.jobs import (
    SCRIPTS_ROOT,
    JobOutcome,
    JobSpec,
    follow_job,
    prepare_job,
    run_job,
    start_job,
)
from flagrelease_assets.workers.local import LocalWorker

TOY_PROGRAM = '''
"""Runs the code that its test gives it, with ``argv``, ``output`` and ``token`` at hand."""
import json, os, signal, subprocess, sys, time

code, *argv = sys.argv[1:-2]
output = sys.argv[-1]
token = os.environ["FLAGRELEASE_RUN_TOKEN"]

def write(document):
    with open(output, "w") as handle:
        json.dump(document, handle)

exec(code)
'''


class CuttingWorkerDouble(LocalWorker):
    """A local worker whose connection breaks now and then: before a poll, or after it was answered."""

    def __init__(self, config: LocalWorkerConfig) -> None:
        super().__init__(config)
        self.polls = 0

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        polling = "poll" in argv
        self.polls += polling
        if polling and self.polls % 3 == 1:
            raise WorkerError(WorkerProblem.ENGINE_UNREACHABLE, "connection refused", retryable=True)
        completed = super().execute(argv, timeout_s=timeout_s, env=env)
        if polling and self.polls % 3 == 2:
            return Completed(completed.code, completed.stdout[: len(completed.stdout) // 2], b"")
        return completed


@pytest.fixture
def scripts_root(tmp_path: Path) -> Path:
    root = tmp_path / "container_scripts"
    root.mkdir()
    for name, content in script_files(str(SCRIPTS_ROOT)).items():
        (root / name).write_bytes(content)
    (root / "toy.py").write_text(TOY_PROGRAM)
    return root


@pytest.fixture
def worker(tmp_path: Path) -> LocalWorker:
    return LocalWorker(LocalWorkerConfig(work_root=str(tmp_path / "root")))


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


def run(worker: LocalWorker, scripts_root: Path, job: JobSpec, **options: Any) -> JobOutcome:
    return run_job(worker, job, poll_s=0.05, scripts_root=scripts_root, **options)


def test_result_of_a_normal_run_comes_back_with_its_log(worker: LocalWorker, scripts_root: Path) -> None:
    outcome = run(worker, scripts_root, spec("print('hello'); write({'run_token': token, 'answer': 42})"))
    assert outcome.completed
    assert outcome.result == {"run_token": outcome.run_token, "answer": 42}
    assert outcome.log_tail == ("hello",)
    assert outcome.exit.code == 0


def test_arguments_arrive_unharmed_because_no_shell_sees_them(
    worker: LocalWorker, scripts_root: Path
) -> None:
    nasty = ["/data/my models/Qwen 3", '{"a": "b c"}', "x'; touch /tmp/pwn; '", "`id` $(id) $HOME", "", "ü\n"]
    code = "write({'run_token': token, 'argv': argv})"
    outcome = run(worker, scripts_root, spec(code, *nasty))
    assert outcome.result is not None
    assert outcome.result["argv"] == nasty
    assert not Path("/tmp/pwn").exists()


def test_inputs_lie_in_the_job_directory(worker: LocalWorker, scripts_root: Path) -> None:
    code = "write({'run_token': token, 'plan': json.load(open(argv[0])), 'here': os.getcwd()})"
    job = spec(code, "{job_dir}/plan.json", inputs={"plan.json": '{"a": "{job_dir}"}'})
    outcome = run(worker, scripts_root, job)
    assert outcome.result is not None
    assert outcome.result["plan"] == {"a": "{job_dir}"}
    assert outcome.result["here"] == outcome.job_dir


def test_a_job_that_ended_while_nobody_could_look_is_read_whole_however_late_it_is(
    worker: LocalWorker, scripts_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = spec("print(('y' * 99 + '\\n') * 60_000)\nwrite({'run_token': token})")
    handle = prepare_job(worker, job, scripts_root=scripts_root)
    start_job(worker, handle, {})
    exit_file = Path(handle.job_dir) / "exit.json"
    end = time.monotonic() + 30
    while not exit_file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    monkeypatch.setattr(jobs, "STOP_MARGIN_S", -1e6)  # as if the deadline had passed long ago
    outcome = follow_job(worker, handle, poll_s=0.05)
    assert outcome.completed
    assert outcome.log_lines > 60_000


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("pass", "missing"),
        ("open(output, 'w').write('{\"run_token\": \"' + token)", "truncated"),
        ("open(output, 'w').write('INFO all is well')", "not_json"),
        ("open(output, 'wb').write(bytes([255, 254, 0]))", "not_json"),
        ("write({'run_token': 'of an earlier run'})", "wrong_run"),
        ("write({'run_token': token, 'x': 'x' * 2000})", "too_large"),
    ],
)
def test_unusable_result_is_named_as_what_it_is(
    worker: LocalWorker, scripts_root: Path, code: str, problem: str
) -> None:
    outcome = run(worker, scripts_root, spec(code, result_limit_bytes=1000))
    assert (outcome.result, outcome.result_problem) == (None, problem)
    assert outcome.exit.reason == "exited"
    assert not outcome.completed


def test_large_log_arrives_whole_and_once_over_a_connection_that_keeps_breaking(
    scripts_root: Path, tmp_path: Path
) -> None:
    worker = CuttingWorkerDouble(LocalWorkerConfig(work_root=str(tmp_path / "root")))
    code = "for n in range(70000): print(n, 'é' * 30)\nprint('end', end='')"
    lines: list[str] = []
    log_file = tmp_path / "host" / "log.txt"
    outcome = run(worker, scripts_root, spec(code), on_line=lines.append, log_file=log_file)
    expected = [f"{n} {'é' * 30}" for n in range(70000)] + ["end"]
    assert sum(len(line.encode()) + 1 for line in expected) > 4_500_000
    assert lines == expected
    assert log_file.read_text().splitlines() == expected
    assert outcome.log_lines == len(expected)
    assert outcome.reconnects >= 2


def test_log_bytes_that_are_no_text_do_not_stop_the_log(worker: LocalWorker, scripts_root: Path) -> None:
    code = "sys.stdout.buffer.write(b'\\xff\\xfe\\n\\x00\\x9f'); sys.stdout.flush()"
    assert run(worker, scripts_root, spec(code)).log_tail == ("\ufffd\ufffd", "\x00\ufffd")


def test_secret_reaches_the_program_but_no_file_log_or_result(
    worker: LocalWorker, scripts_root: Path, tmp_path: Path
) -> None:
    secret = "hf_abcdefgh"
    code = "print(os.environ['HF_TOKEN']); write({'run_token': token, 'seen': os.environ['HF_TOKEN']})"
    job = spec(code, secret_env={"HF_TOKEN": secret})
    outcome = run(worker, scripts_root, job, log_file=tmp_path / "host.log")
    assert outcome.log_tail == (REDACTED,)
    assert outcome.result is not None
    assert outcome.result["seen"] == REDACTED
    assert secret not in repr(job)
    ours = {
        path.name
        for path in (tmp_path / "root").rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    }
    assert ours == {"log.txt", "result.json"}, "only what the program itself wrote may hold it"


def test_spawn_failure_is_an_outcome_and_not_an_exception(worker: LocalWorker, scripts_root: Path) -> None:
    handle = prepare_job(worker, spec("pass"), scripts_root=scripts_root)
    description = Path(handle.job_dir, "job.json")
    document = json.loads(description.read_text())
    description.write_text(json.dumps({**document, "argv": ["/nowhere/python"]}))
    start_job(worker, handle, {})
    outcome = follow_job(worker, handle, poll_s=0.05)
    assert outcome.exit.reason == "spawn_failed"
    assert outcome.result_problem == "missing"


def test_interrupt_ends_the_job_in_the_worker(worker: LocalWorker, scripts_root: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(worker, scripts_root, spec("print('up', flush=True); time.sleep(99)"), on_line=interrupt)
    (exit_file,) = Path(worker.work_root).rglob("exit.json")
    assert json.loads(exit_file.read_text())["reason"] == "cancelled"
    token = json.loads((exit_file.parent / "job.json").read_text())["run_token"]
    assert not [p for p in all_processes() if has_variable(p.id.pid, "FLAGRELEASE_RUN_TOKEN", token)]


def test_another_process_can_follow_a_job_by_its_handle(worker: LocalWorker, scripts_root: Path) -> None:
    code = "print('first', flush=True); time.sleep(1); write({'run_token': token})"
    handle = prepare_job(worker, spec(code), scripts_root=scripts_root)
    start_job(worker, handle, {})
    restored = type(handle).model_validate_json(handle.model_dump_json())
    later = LocalWorker(LocalWorkerConfig(work_root=worker.work_root))
    outcome = follow_job(later, restored, poll_s=0.05)
    assert outcome.completed
    assert outcome.log_tail == ("first",)


def test_lost_supervisor_is_an_outcome(worker: LocalWorker, scripts_root: Path) -> None:
    handle = prepare_job(worker, spec("time.sleep(99)"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    state_file = Path(handle.job_dir, "state.json")
    while not json.loads(state_file.read_text()).get("processes"):
        time.sleep(0.05)
    os.kill(json.loads(state_file.read_text())["supervisor"][0], signal.SIGKILL)
    outcome = follow_job(worker, handle, poll_s=0.05)
    assert outcome.exit.reason == "lost"
    assert outcome.exit.survivors == ()


def test_worker_that_stays_out_of_reach_is_an_error_in_the_end(scripts_root: Path, tmp_path: Path) -> None:
    class GoneWorkerDouble(LocalWorker):
        def execute(
            self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
        ) -> Completed:
            if "poll" in argv or "cancel" in argv:
                raise WorkerError(WorkerProblem.ENGINE_UNREACHABLE, "connection refused", retryable=True)
            return super().execute(argv, timeout_s=timeout_s, env=env)

    timeouts = WorkerTimeouts(reconnect_s=0.5)
    worker = GoneWorkerDouble(LocalWorkerConfig(work_root=str(tmp_path / "root"), timeouts=timeouts))
    with pytest.raises(WorkerError, match="connection refused"):
        run(worker, scripts_root, spec("time.sleep(5)", lease_s=2))
    while not (ended := list(Path(worker.work_root).rglob("exit.json"))):
        time.sleep(0.1)
    assert json.loads(ended[0].read_text())["reason"] == "lease"


def test_scripts_are_uploaded_once_and_mended_if_damaged(worker: LocalWorker, scripts_root: Path) -> None:
    handle = prepare_job(worker, spec("pass"), scripts_root=scripts_root)
    uploaded = Path(handle.scripts_dir, "document.py")
    first = uploaded.stat().st_ino
    prepare_job(worker, spec("pass"), scripts_root=scripts_root)
    assert uploaded.stat().st_ino == first
    uploaded.write_text("damaged")
    prepare_job(worker, spec("pass"), scripts_root=scripts_root)
    assert uploaded.read_bytes() == (scripts_root / "document.py").read_bytes()


def test_digest_depends_on_names_and_contents(scripts_root: Path) -> None:
    before = scripts_digest(str(scripts_root))
    (scripts_root / "notes.txt").write_text("no script")
    assert scripts_digest(str(scripts_root)) == before
    (scripts_root / "toy.py").rename(scripts_root / "tay.py")
    assert scripts_digest(str(scripts_root)) != before


@pytest.mark.parametrize(
    "field", [{"run_id": "../up"}, {"step": "a/b"}, {"program": "os.system"}, {"inputs": {"../x": ""}}]
)
def test_names_that_lead_out_of_the_work_root_are_refused(field: dict[str, Any]) -> None:
    plain = {"run_id": "r", "step": "s", "name": "n", "program": "p", "deadline_s": 1, "idle_s": 1}
    with pytest.raises(ValueError, match="should match pattern"):
        JobSpec.model_validate({**plain, **field})
