"""Ending what dead runs left in a worker, and pruning the folders of old ones.

Belongs here: finding unfinished jobs below a work root, ending those that nobody wants, bounded pruning.
Does not belong here: which runs are dead (device_lock and the host say so), what ends one job (lost_jobs).
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import Collection, Iterator, List, NamedTuple, Optional

from container_scripts.document import Document
from container_scripts.engine_caches import CACHES
from container_scripts.job_files import Job, JobDirectory
from container_scripts.lost_jobs import CANCEL_GRACE_S, bury, is_supervised, look
from container_scripts.processes import KILL_LIMIT_S, ProcessId, boot_time, send_signal

KEPT_RUNS = 50
"""Run folders that stay in a worker, the newest; a run that still lives stays whatever its age."""

KEPT_CACHES = 3
"""Runs whose engine caches stay in a worker, the newest: they are large, and no other release uses them."""

PRUNED_AT_ONCE = 20
OVERDUE_S = 120.0
"""How long after lease and grace a supervisor may still be ending its job before it counts as hung."""

END_LIMIT_S = CANCEL_GRACE_S + KILL_LIMIT_S + 5.0

_PAUSE_S = 0.1


class _Unfinished(NamedTuple):
    run_id: str
    directory: JobDirectory


def end_orphans(work_root: str, dead_runs: Collection[str]) -> List[Document]:
    """End every job that nobody wants any more; return {"run", "job", "ended_by", "terminated", "survivors"}.

    Unwanted are jobs of ``dead_runs``, jobs whose supervisor is gone, and jobs whose supervisor should have
    ended them long ago and hangs. Only processes that carry the mark of their job are ended.
    """
    ended = []
    for run_id, directory in _unfinished(work_root):
        document = _end(directory, wanted=run_id not in dead_runs)
        if document is not None:
            row = {"run": run_id, "job": os.path.relpath(directory.path, work_root)}
            keys = ("terminated", "survivors")
            ended.append({**row, "ended_by": document["reason"], **{key: document[key] for key in keys}})
    return ended


def prune(work_root: str, living_runs: Collection[str], keep: int = KEPT_RUNS) -> int:
    """Remove the oldest run folders over ``keep``, at most PRUNED_AT_ONCE; return how many went.

    Of the engines' caches those of KEPT_CACHES runs stay, and of every run that is not over.
    """
    kept = {*living_runs, *(run_id for run_id, _ in _unfinished(work_root))}
    _remove_old(os.path.join(work_root, CACHES), kept, KEPT_CACHES)
    return _remove_old(os.path.join(work_root, "runs"), kept, keep)


def _remove_old(folder: str, kept: Collection[str], keep: int) -> int:
    old = [entry for entry in _newest_first(folder)[keep:] if entry.name not in kept]
    removed = 0
    for entry in old[-PRUNED_AT_ONCE:]:
        shutil.rmtree(entry.path, ignore_errors=True)
        removed += not os.path.lexists(entry.path)
    return removed


def _unfinished(work_root: str) -> Iterator[_Unfinished]:
    """Yield every job below the work root that was started and has no exit document."""
    runs = os.path.join(work_root, "runs")
    for run in _folders(runs):
        for step in _folders(run.path):
            for job in _folders(step.path):
                started = os.path.exists(os.path.join(job.path, "state.json"))
                if started and not os.path.exists(os.path.join(job.path, "exit.json")):
                    yield _Unfinished(run.name, JobDirectory(job.path))


def _end(directory: JobDirectory, *, wanted: bool) -> Optional[Document]:
    try:
        state, job = directory.state(), directory.job()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if state is None:
        return None
    if is_supervised(state):
        if wanted and not _is_overdue(directory, job):
            return None
        directory.request_cancel()
        ended = _wait_for_exit(directory)
        if ended is not None:
            return ended
        send_signal(ProcessId(*state["supervisor"]), signal.SIGKILL)  # it hangs, or somebody stopped it
        while is_supervised(state):
            time.sleep(_PAUSE_S)
    return bury(directory)


def _is_overdue(directory: JobDirectory, job: Job) -> bool:
    return 0 < job.lease_s < directory.lease_age_s() - job.grace_s - KILL_LIMIT_S - OVERDUE_S


def _wait_for_exit(directory: JobDirectory) -> Optional[Document]:
    end = boot_time() + END_LIMIT_S
    while boot_time() < end:
        state, ended = look(directory)
        if state != "running" and state != "starting":
            return ended
        time.sleep(_PAUSE_S)
    return None


def _folders(path: str) -> List["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as entries:
            return sorted(
                (entry for entry in entries if entry.is_dir(follow_symlinks=False)), key=lambda e: e.name
            )
    except OSError:
        return []


def _newest_first(path: str) -> List["os.DirEntry[str]"]:
    def modified(entry: "os.DirEntry[str]") -> float:
        try:
            return entry.stat(follow_symlinks=False).st_mtime
        except OSError:
            return 0.0

    return sorted(_folders(path), key=modified, reverse=True)
