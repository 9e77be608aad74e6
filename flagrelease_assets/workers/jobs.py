"""Running supervised jobs in a worker, from the host's side.

Belongs here: bringing programs into a worker, starting a job, following its log, fetching its result,
ending it when the host gives up.
Does not belong here: what happens inside the worker (container_scripts/supervise.py), and judgement.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import container_scripts
from container_scripts.scripts_digest import script_files, scripts_digest
from container_scripts.supervise import UNUSABLE_JOB
from flagrelease_assets.redaction import Redactor
from flagrelease_assets.workers.base import TMPFS_HINT, Worker, WorkerError, WorkerProblem
from flagrelease_assets.workers.job_models import (
    JOB_DIR_PLACEHOLDER,
    ExitRecord,
    JobHandle,
    JobOutcome,
    JobSpec,
    PollAnswer,
)
from flagrelease_assets.workers.job_results import JobResult, parse_result
from flagrelease_assets.workers.log_lines import LogLines

__all__ = [
    "SCRIPTS_ROOT",
    "Connection",
    "ExitRecord",
    "JobHandle",
    "JobOutcome",
    "JobSpec",
    "cancel_job",
    "follow_job",
    "prepare_job",
    "run_job",
    "start_job",
    "upload_scripts",
]

SCRIPTS_ROOT = Path(container_scripts.__file__).parent

LOG_TAIL_LINES = 400
POLL_BYTES = 4 << 20
LOG_HEAD_BYTES = 64 << 20
LOG_TAIL_BYTES = 64 << 20
"""Of a log longer than head and tail together, what lies between stays in the worker."""

CANCEL_LIMIT_S = 20.0
STOP_MARGIN_S = 60.0
"""How much later than deadline and grace the host expects to hear of the end of a job, in seconds."""

_FIRST_POLL_S = 0.15  # quick programs are not made to wait for the pace of long ones, and none ends sooner
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_DEFAULT_ENV = {"PYTHONUNBUFFERED": "1"}  # a log that comes late looks like a hang

_log = logging.getLogger(__name__)

OnLine = Callable[[str], None]
Answer = TypeVar("Answer")


def run_job(
    worker: Worker,
    spec: JobSpec,
    *,
    on_line: OnLine | None = None,
    log_file: Path | None = None,
    poll_s: float = 1.0,
    scripts_root: Path = SCRIPTS_ROOT,
    redactor: Redactor | None = None,
) -> JobOutcome:
    """Run one job to its end and return what became of it.

    ``on_line`` gets every line of its log, whole and once; ``log_file`` on the host collects them.
    ``redactor`` (of the job's own secrets, if None) goes over the log and the result.
    Whatever ends this call early (an interrupt, an error of ``on_line``, a worker out of reach) ends
    the job first, as far as the worker can be reached; otherwise its lease does.
    Raises WorkerError if the worker cannot be reached for ``timeouts.reconnect_s``.
    """
    connection = Connection(worker.timeouts.reconnect_s)
    handle = connection.ask(lambda: prepare_job(worker, spec, scripts_root=scripts_root))
    try:
        start_job(worker, handle, spec.secret_env)
        return follow_job(
            worker,
            handle,
            on_line=on_line,
            log_file=log_file,
            poll_s=poll_s,
            redactor=redactor or Redactor(spec.secret_env.values()),
        )
    except BaseException:
        try:
            cancel_job(worker, handle)
        except WorkerError as error:
            _log.warning("could not end job %s in %s: %s", handle.name, handle.job_dir, error)
        raise


def prepare_job(worker: Worker, spec: JobSpec, *, scripts_root: Path = SCRIPTS_ROOT) -> JobHandle:
    """Bring scripts and job description into the worker, and return the handle of a job yet to start."""
    run_token = uuid.uuid4().hex
    job_dir = f"{worker.work_root}/runs/{spec.run_id}/{spec.step}/{spec.name}-{run_token[:8]}"
    scripts_dir = upload_scripts(worker, scripts_root)
    python = worker.python().executable
    description = {
        "argv": [
            python,
            f"{scripts_dir}/{spec.program}.py",
            *(argument.replace(JOB_DIR_PLACEHOLDER, job_dir) for argument in spec.arguments),
            "--output",
            f"{job_dir}/result.json",
        ],
        "env_set": {**_DEFAULT_ENV, **spec.env},
        "env_unset": spec.env_unset,
        "cwd": job_dir,
        "deadline_s": spec.deadline_s,
        "idle_s": spec.idle_s,
        "grace_s": spec.grace_s,
        "lease_s": spec.lease_s,
        "lock": spec.lock,
        "run_token": run_token,
        "activity_paths": [path.replace(JOB_DIR_PLACEHOLDER, job_dir) for path in spec.activity_paths],
    }
    inputs = {name: text.encode() for name, text in spec.inputs.items()}
    worker.put_files(job_dir, {**inputs, "job.json": json.dumps(description).encode()})
    return JobHandle(
        name=spec.name,
        program=spec.program,
        job_dir=job_dir,
        scripts_dir=scripts_dir,
        run_token=run_token,
        deadline_s=spec.deadline_s,
        grace_s=spec.grace_s,
        result_limit_bytes=spec.result_limit_bytes,
    )


def start_job(worker: Worker, handle: JobHandle, secret_env: dict[str, str]) -> None:
    """Start a prepared job; a second start does nothing, so a lost connection is no reason to give up."""
    connection = Connection(worker.timeouts.reconnect_s)
    connection.ask(lambda: _supervise(worker, handle, "start", env=secret_env))


def follow_job(
    worker: Worker,
    handle: JobHandle,
    *,
    on_line: OnLine | None = None,
    log_file: Path | None = None,
    poll_s: float = 1.0,
    redactor: Redactor | None = None,
) -> JobOutcome:
    """Follow a started job to its end, from the first line of its log, and fetch its result.

    A log beyond LOG_HEAD_BYTES comes once the job has ended: its last LOG_TAIL_BYTES, and a line that
    says how many bytes were left out.
    Loses and finds the connection to the worker as often as need be, each time for at most
    ``timeouts.reconnect_s`` seconds.
    """
    redactor = redactor or Redactor()
    lines, tail, count = LogLines(redactor), deque[str](maxlen=LOG_TAIL_LINES), 0
    offset, over = 0, False
    connection = Connection(worker.timeouts.reconnect_s)
    pause_s = min(_FIRST_POLL_S, poll_s)
    give_up = time.monotonic() + handle.deadline_s + handle.grace_s + STOP_MARGIN_S
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.write_bytes(b"")
    time.sleep(pause_s)
    while True:
        wanted = POLL_BYTES if offset < LOG_HEAD_BYTES or over else 0
        answer = connection.ask(partial(_poll, worker, handle, offset, max_bytes=wanted))
        fresh = lines.feed(base64.b64decode(answer.chunk_b64))
        offset, over = answer.offset, answer.exit is not None
        if over and offset >= LOG_HEAD_BYTES and answer.log_size - offset > LOG_TAIL_BYTES:
            left_out, offset = answer.log_size - LOG_TAIL_BYTES - offset, answer.log_size - LOG_TAIL_BYTES
            fresh += [*lines.finish(), f"[{left_out} bytes of log left out here; they are in the worker]"]
        ended = over and offset >= answer.log_size
        fresh += lines.finish() if ended else []
        _deliver(fresh, on_line, log_file)
        tail.extend(fresh)
        count += len(fresh)
        if ended and answer.exit is not None:
            break
        if not over and time.monotonic() > give_up:
            raise WorkerError(
                WorkerProblem.TIMEOUT, f"the supervisor of {handle.job_dir} did not end the job in time"
            )
        if offset >= answer.log_size or not (over or offset < LOG_HEAD_BYTES):
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, poll_s)
    result = connection.ask(lambda: _read_result(worker, handle, redactor))
    return JobOutcome(
        name=handle.name,
        program=handle.program,
        job_dir=handle.job_dir,
        run_token=handle.run_token,
        exit=answer.exit,
        result=result.document,
        result_problem=result.problem,
        result_detail=result.detail,
        log_lines=count,
        log_tail=tuple(tail),
        reconnects=connection.reconnects,
    )


def cancel_job(worker: Worker, handle: JobHandle) -> ExitRecord | None:
    """End a job now; return how it ended, or None if it has not started, or does not end in time."""
    _supervise(worker, handle, "cancel")
    end = time.monotonic() + CANCEL_LIMIT_S
    while time.monotonic() < end:
        answer = _poll(worker, handle, 0, max_bytes=0)
        if answer.exit is not None or answer.state == "starting":  # a supervisor yet to come sees the request
            return answer.exit
        time.sleep(0.2)
    return None


class Connection:
    """Asks a worker again, with growing pauses, until it has been out of reach for ``limit_s`` seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.reconnects = 0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer of ``question``; raises its WorkerError if asking again does not help."""
        began, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                return question()
            except WorkerError as error:
                if not error.retryable or time.monotonic() - began > self._limit_s:
                    raise
                _log.warning("lost the worker, trying again in %g s: %s", pause_s, error)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self.reconnects += 1


_OTHERS_FOLDER = 9
_DIGEST_OF_OURS = f"""
import os, runpy, stat, sys
root, folder = sys.argv[1:]
above, path = os.path.dirname(root), folder
while os.path.isdir(above) and os.stat(above).st_mode & stat.S_IWOTH and len(path) >= len(root):
    owners = {{os.lstat(path).st_uid, os.stat(path).st_uid}} if os.path.exists(path) else set()
    if owners - {{0, os.geteuid()}}:
        print(path, "belongs to another user", file=sys.stderr)
        sys.exit({_OTHERS_FOLDER})
    path = os.path.dirname(path)
script = os.path.join(folder, "scripts_digest.py")
if os.path.isfile(script):
    runpy.run_path(script, run_name="__main__")
"""
"""Runs nothing that lies in a folder of another user, made where everybody may make one."""


def upload_scripts(worker: Worker, scripts_root: Path = SCRIPTS_ROOT) -> str:
    """Return the folder in the worker that holds exactly these scripts, filling it if it does not.

    Raises WorkerError, also if somebody else made the folder.
    """
    digest = scripts_digest(str(scripts_root))
    folder = f"{worker.work_root}/scripts/{digest}/container_scripts"
    check = [worker.python().executable, "-c", _DIGEST_OF_OURS, worker.work_root, folder]
    completed = worker.execute(check)
    if completed.code == _OTHERS_FOLDER:
        hint = "set `work_root` to a folder of your own"
        raise WorkerError(WorkerProblem.TRANSFER, completed.complaint, hint)
    if completed.stdout.decode() == digest:
        return folder
    worker.put_files(folder, script_files(str(scripts_root)))
    completed = worker.execute(check)
    if completed.stdout.decode() != digest:
        raise WorkerError(
            WorkerProblem.TRANSFER,
            f"the scripts did not arrive in {folder} of {worker.name!r}: {completed.complaint}",
            TMPFS_HINT,
        )
    return folder


def _supervise(
    worker: Worker, handle: JobHandle, command: str, *options: str, env: dict[str, str] | None = None
) -> bytes:
    argv = [
        worker.python().executable,
        f"{handle.scripts_dir}/supervise.py",
        command,
        handle.job_dir,
        *options,
    ]
    completed = worker.execute(argv, env=env)
    if completed.code != 0:
        raise WorkerError(
            WorkerProblem.COMMAND_FAILED,
            f"supervise.py {command} in {worker.name!r} ended with {completed.code}: {completed.complaint}",
            retryable=completed.code != UNUSABLE_JOB,
        )
    return completed.stdout


def _poll(worker: Worker, handle: JobHandle, offset: int, *, max_bytes: int = POLL_BYTES) -> PollAnswer:
    printed = _supervise(worker, handle, "poll", f"--offset={offset}", f"--max-bytes={max_bytes}")
    try:
        return PollAnswer.model_validate_json(printed)
    except ValueError:
        raise WorkerError(
            WorkerProblem.TRANSFER, f"the answer about {handle.job_dir} came mutilated", retryable=True
        ) from None


def _deliver(lines: list[str], on_line: OnLine | None, log_file: Path | None) -> None:
    if log_file and lines:
        with log_file.open("a", encoding="utf-8") as handle:
            handle.writelines(line + "\n" for line in lines)
    if on_line:
        for line in lines:
            on_line(line)


def _read_result(worker: Worker, handle: JobHandle, redactor: Redactor) -> JobResult:
    try:
        content = worker.read_file(f"{handle.job_dir}/result.json", max_bytes=handle.result_limit_bytes)
        result = parse_result(content.decode(), handle.run_token)
        return replace(result, document=redactor.values(result.document))
    except UnicodeDecodeError as error:
        return JobResult(problem="not_json", detail=str(error))
    except WorkerError as error:
        if error.category is WorkerProblem.FILE_MISSING:
            return JobResult(problem="missing", detail=error.cause)
        if error.category is WorkerProblem.FILE_TOO_LARGE:
            return JobResult(problem="too_large", detail=error.cause)
        raise
