"""The files through which a supervised job is started, watched and ended.

Belongs here: names and formats of the files in a job directory, reading and writing them.
Does not belong here: processes, and what follows from what the files say.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import Any, Dict, List, NamedTuple, Optional

from container_scripts.document import Document, write_atomically
from container_scripts.processes import Process, ProcessId, boot_id, boot_time

RESERVED_BYTES = 64 << 10


class Job(NamedTuple):
    """What job.json asks for; all times in seconds, ``lease_s`` absent for a job that needs no lease.

    ``lock`` is the record of the device lock that the job is run under; a poll renews both.
    """

    argv: List[str]
    env_set: Dict[str, str]
    env_unset: List[str]
    cwd: str
    deadline_s: float
    idle_s: float
    grace_s: float
    lease_s: float
    run_token: str
    activity_paths: List[str]
    lock: Optional[str] = None


class JobDirectory:
    """A folder that holds one job: job.json, state.json, log.txt, lease, cancel, exit.json, result.json."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.log = os.path.join(self.path, "log.txt")
        self.supervisor_log = os.path.join(self.path, "supervisor.log")
        self._state = os.path.join(self.path, "state.json")
        self._exit = os.path.join(self.path, "exit.json")
        self._lease = os.path.join(self.path, "lease")
        self._cancel = os.path.join(self.path, "cancel")
        self._reserve = os.path.join(self.path, "reserve")

    def job(self) -> Job:
        """Read job.json; raises ValueError naming what is wrong with it, OSError if it is not there."""
        with open(os.path.join(self.path, "job.json"), encoding="utf-8") as handle:
            document = json.load(handle)
        job = Job(
            argv=[str(item) for item in document["argv"]],
            env_set=dict(document.get("env_set", {})),
            env_unset=list(document.get("env_unset", [])),
            cwd=document.get("cwd") or self.path,
            deadline_s=float(document["deadline_s"]),
            idle_s=float(document["idle_s"]),
            grace_s=float(document["grace_s"]),
            lease_s=float(document.get("lease_s", 0)),
            run_token=str(document["run_token"]),
            activity_paths=list(document.get("activity_paths", [])),
            lock=document.get("lock"),
        )
        limits = (job.deadline_s, job.idle_s, job.grace_s, job.lease_s)
        usable = job.deadline_s > 0 and job.idle_s > 0 and job.grace_s >= 0 and job.lease_s >= 0
        if not (job.argv and usable and all(map(math.isfinite, limits))):
            raise ValueError("job.json needs argv, deadline_s > 0, idle_s > 0 and grace_s >= 0, all finite")
        return job

    def claim(self, starter: ProcessId) -> bool:
        """Become the one who starts this job; False if it was started before, by whomever."""
        draft = f"{self._state}.{starter.pid}.claim"
        write_atomically(draft, json.dumps({"supervisor": list(starter), "boot_id": boot_id()}))
        try:
            os.link(draft, self._state)
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
        return True

    def write_state(self, supervisor: ProcessId, marker: str, processes: List[Process]) -> None:
        """Record who supervises the job, its marker, and its processes as last seen."""
        rows = [[*process.id, process.name] for process in processes]
        state = {
            "supervisor": list(supervisor),
            "boot_id": boot_id(),
            "marker": marker,
            "processes": rows,
        }
        write_atomically(self._state, json.dumps(state))

    def state(self) -> Optional[Document]:
        """Return what ``claim`` or ``write_state`` wrote last, or None for a job that was never started."""
        return _read_json(self._state)

    def reserve_room(self) -> None:
        """Keep room for exit.json, so that a job which fills the disk can still be recorded as ended."""
        with open(self._reserve, "wb") as handle:
            handle.write(bytes(RESERVED_BYTES))
            handle.flush()
            os.fsync(handle.fileno())

    def write_exit(self, document: Document) -> None:
        """Record how the job ended; nothing of it runs any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._reserve)
        write_atomically(self._exit, json.dumps(document))

    def exit(self) -> Optional[Document]:
        """Return how the job ended, or None."""
        return _read_json(self._exit)

    def renew_lease(self) -> None:
        """Say that somebody still wants this job; needs no room on the disk once the file is there."""
        with open(self._lease, "ab"):
            stamp_with_boot_time(self._lease)

    def lease_stamp(self) -> int:
        """Return a number that changes with each renewal; it is compared, never read as a time."""
        try:
            return os.stat(self._lease).st_mtime_ns
        except OSError:
            return 0

    def lease_age_s(self) -> float:
        """Return seconds since somebody last said that they want this job; infinite if nobody did."""
        return age_by_boot_time(self._lease)

    def request_cancel(self) -> None:
        """Ask the supervisor to end the job."""
        write_atomically(self._cancel, "")

    def cancel_requested(self) -> bool:
        """Tell whether the job is to be cancelled."""
        return os.path.exists(self._cancel)

    def log_size(self) -> int:
        """Return the bytes of log so far."""
        try:
            return os.stat(self.log).st_size
        except OSError:
            return 0

    def read_log(self, offset: int, max_bytes: int) -> bytes:
        """Return up to ``max_bytes`` bytes of log from byte ``offset`` on."""
        try:
            with open(self.log, "rb") as handle:
                handle.seek(offset)
                return handle.read(max_bytes)
        except OSError:
            return b""


def stamp_with_boot_time(path: str) -> None:
    """Set the modification time of a file to the seconds since boot: no change of the date moves them."""
    now = boot_time()
    os.utime(path, (now, now))


def age_by_boot_time(path: str) -> float:
    """Return seconds since ``stamp_with_boot_time``; infinite if there is no file, or one of the future."""
    try:
        age = boot_time() - os.stat(path).st_mtime
    except OSError:
        return math.inf
    return age if age >= 0 else math.inf


def _read_json(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as handle:
            document: Dict[str, Any] = json.load(handle)
    except FileNotFoundError:
        return None
    return document
