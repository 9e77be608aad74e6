"""Runs one job so that it outlives every connection and never outlives its deadline.

Belongs here: starting a program away from whoever asked for it, watching it, ending its whole process
tree, and answering what became of it.
Does not belong here: what the program does, and judging its result.

``start JOBDIR`` reads job.json and returns once a supervisor process is there; ``poll JOBDIR`` answers
state, new log and exit as one JSON line, and renews the lease; ``cancel JOBDIR`` asks the supervisor
to end the job.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, List, Optional, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts.activity import Activity
from container_scripts.device_lock import renew
from container_scripts.document import RUN_TOKEN_VARIABLE, Document, describe_exception
from container_scripts.job_files import Job, JobDirectory
from container_scripts.lost_jobs import CANCEL_GRACE_S, MARKER_VARIABLE, bury, exit_document, look
from container_scripts.processes import (
    Ending,
    Process,
    ProcessId,
    boot_time,
    end_processes,
    living_descendants,
    read_process,
)

KEEP_ENVIRONMENT_VARIABLE = "SPT_NOENV"
"""Keeps setproctitle, which vLLM uses, from wiping the marker out of /proc/PID/environ."""

COMMAND_LIMIT_S = 60
UNUSABLE_JOB = 2
"""Exit code for a job directory that cannot be used; Python itself ends so if this file is missing."""

EXIT_WRITE_LIMIT_S = 60.0
UP = b"up"
MAX_WORDS_BYTES = 2000

_TICK_S = 0.1
_SCAN_S = 0.5
_SCAN_LOAD = 0.05
_SETTLE_S = 1.0
_FROZEN_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Runs the job of one directory to its end; every process below this one belongs to the job.

    As child subreaper it becomes the parent of all orphans of the job, also of those that left
    their session, so that nothing can leave the tree.
    """

    def __init__(self, directory: JobDirectory, job: Job) -> None:
        self._directory = directory
        self._job = job
        self._identity = _own_identity()
        self._marker = os.urandom(16).hex()
        self._program: Optional[int] = None
        self._status: Optional[int] = None
        self._recorded: List[Process] = []
        self._asked_to_end = False

    def prepare(self) -> None:
        """Become the one that owns the job: subreaper, and recorded in state.json."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "this kernel refuses PR_SET_CHILD_SUBREAPER")
        signal.signal(signal.SIGTERM, self._on_term)
        self._directory.renew_lease()
        self._directory.reserve_room()
        self._directory.write_state(self._identity, self._marker, [])

    def run(self) -> None:
        """Start the program, wait for its end or bring it about, and write exit.json."""
        began = boot_time()
        reason, error = "spawn_failed", None
        try:
            self._spawn()
        except (OSError, ValueError) as failure:
            error = describe_exception(failure)["error"]
        else:
            reason, error = self._watch_safely(began)
        ending = self._end_tree(reason)
        code, number = _decode(self._status)
        self._write_exit(exit_document(reason, ending, code, number, boot_time() - began, error))

    def _write_exit(self, document: Document) -> None:
        end = boot_time() + EXIT_WRITE_LIMIT_S
        while True:
            try:
                return self._directory.write_exit(document)
            except OSError as failure:  # a full disk may have room again, now that the job has ended
                if boot_time() > end:
                    raise
                sys.stderr.write(f"cannot write exit.json: {failure}\n")
                time.sleep(1.0)

    def _on_term(self, *_: Any) -> None:
        self._asked_to_end = True

    def _spawn(self) -> None:
        environment = {**os.environ, **self._job.env_set}
        for name in self._job.env_unset:
            environment.pop(name, None)
        environment[RUN_TOKEN_VARIABLE] = self._job.run_token
        environment[MARKER_VARIABLE] = self._marker
        environment[KEEP_ENVIRONMENT_VARIABLE] = "1"
        with open(self._directory.log, "ab") as log:
            process = subprocess.Popen(
                self._job.argv,
                cwd=self._job.cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._program = process.pid
        process.returncode = 0  # its status is collected by _reap, together with that of all orphans

    def _watch_safely(self, began: float) -> Tuple[str, Optional[str]]:
        try:
            return self._watch(began), None
        except Exception as failure:  # whatever breaks the supervisor must not leave the job alone
            return "lost", describe_exception(failure)["error"]

    def _watch(self, began: float) -> str:
        job, directory = self._job, self._directory
        activity = Activity(directory.log_size, job.activity_paths)
        scanned = active = wanted = seen = began
        next_scan, lease = began, directory.lease_stamp()
        while True:
            self._reap()
            if self._status is not None:
                return "exited"
            now = boot_time()
            if now - seen > _FROZEN_S:  # the whole worker stood still: that is nobody's silence
                active, wanted = active + now - seen, wanted + now - seen
            seen = now
            if self._asked_to_end or directory.cancel_requested():
                return "cancelled"
            if now - began > job.deadline_s:
                return "deadline"
            stamp = directory.lease_stamp()
            if stamp != lease:
                wanted, lease = now, stamp
            if 0 < job.lease_s < now - wanted:
                return "lease"
            if now >= next_scan:
                processes = living_descendants(self._identity.pid)
                self._record(processes)
                if activity.observe(processes, now - scanned):
                    active = now
                scanned = now
                next_scan = now + max(_SCAN_S, (boot_time() - now) / _SCAN_LOAD)
                if now - active > job.idle_s:
                    return "idle"
            time.sleep(_TICK_S)

    def _record(self, processes: List[Process]) -> None:
        if {process.id for process in processes} == {process.id for process in self._recorded}:
            return
        try:
            self._directory.write_state(self._identity, self._marker, processes)
            self._recorded = processes
        except OSError as failure:  # a full disk: the job may still finish, and the next scan tries again
            sys.stderr.write(f"cannot write state.json: {failure}\n")

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._program:
                self._status = status

    def _end_tree(self, reason: str) -> Ending:
        def find() -> List[Process]:
            return living_descendants(self._identity.pid)

        if reason == "exited":  # helpers of the program may need a moment to notice that it is gone
            settled = boot_time() + _SETTLE_S
            while find() and boot_time() < settled:
                time.sleep(_TICK_S)
                self._reap()
        grace_s = min(self._job.grace_s, CANCEL_GRACE_S) if reason == "cancelled" else self._job.grace_s
        ending = end_processes(find, grace_s, self._reap)
        self._reap()
        return ending


def start(directory: JobDirectory, job: Job) -> Document:
    """Start the job unless it was started before; return {"started": bool} once it is supervised.

    Raises OSError if the supervisor did not come up.
    """
    if not directory.claim(_own_identity()):
        return {"started": False}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _become_supervisor(directory, job, writer)
    os.close(writer)
    os.waitpid(child, 0)
    said = os.read(reader, MAX_WORDS_BYTES)
    os.close(reader)
    if said != UP:
        words = said.decode("utf-8", "replace") or f"see {directory.supervisor_log}"
        raise OSError(f"the supervisor did not come up: {words}")
    return {"started": True}


def _become_supervisor(directory: JobDirectory, job: Job, ready: int) -> None:
    """Leave the session of the starter, supervise, and end this process; never returns.

    ``ready`` takes one word once the job is supervised, or what went wrong.
    """
    up = False
    try:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(directory.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        supervisor = Supervisor(directory, job)
        supervisor.prepare()
        os.write(ready, UP)
        os.close(ready)
        up = True
        supervisor.run()
    except BaseException as failure:
        if not up:
            os.write(ready, describe_exception(failure)["error"].encode()[:MAX_WORDS_BYTES])
        sys.stderr.write(describe_exception(failure)["traceback"])
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def poll(directory: JobDirectory, offset: int, max_bytes: int, lock: Optional[str] = None) -> Document:
    """Answer {state, offset, chunk_b64, log_size, exit}, and renew the lease and the device lock.

    ``state`` is starting, running, finished or lost; ``offset`` is where to read on. Once it is
    finished or lost the log does not grow any more. Finding a job lost ends what is left of it.
    """
    directory.renew_lease()
    if lock:
        renew(lock)
    state, ended = look(directory)
    if state == "lost" and ended is None:
        ended = bury(directory)
    size = directory.log_size()
    chunk = directory.read_log(offset, max_bytes)
    return {
        "state": state,
        "offset": offset + len(chunk),
        "chunk_b64": base64.b64encode(chunk).decode("ascii"),
        "log_size": size,
        "exit": ended,
    }


def cancel(directory: JobDirectory) -> Document:
    """Ask for the end of the job, and end what is left of it if its supervisor is gone."""
    directory.request_cancel()
    state, ended = look(directory)
    if state == "lost" and ended is None:
        bury(directory)
    return {"state": state}


def _decode(status: Optional[int]) -> Tuple[Optional[int], Optional[int]]:
    """Split a wait status into exit code and signal number; one of them is None, or both."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status)
    return os.WEXITSTATUS(status), None


def _own_identity() -> ProcessId:
    own = read_process(os.getpid())
    if own is None:
        raise OSError("/proc does not show this process; is it mounted?")
    return own.id


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=("start", "poll", "cancel"))
    parser.add_argument("directory", metavar="JOBDIR")
    parser.add_argument("--offset", type=int, default=0, help="poll: first byte of log wanted")
    parser.add_argument("--max-bytes", type=int, default=1 << 20, help="poll: most bytes of log wanted")
    return parser


def main() -> int:
    """Run one command and print its answer as one line of JSON; exit code 2 if the job cannot be used."""
    arguments = build_parser().parse_args()
    signal.alarm(COMMAND_LIMIT_S)  # this command itself must not hang; a fork does not inherit the alarm
    directory = JobDirectory(arguments.directory)
    try:
        job = directory.job()
        if arguments.command == "start":
            answer = start(directory, job)
        elif arguments.command == "poll":
            answer = poll(directory, arguments.offset, arguments.max_bytes, job.lock)
        else:
            answer = cancel(directory)
    except (OSError, ValueError, KeyError, TypeError) as failure:
        sys.stderr.write(
            f"{arguments.command} {arguments.directory}: {describe_exception(failure)['error']}\n"
        )
        return UNUSABLE_JOB
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
