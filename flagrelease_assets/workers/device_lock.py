"""Holding a worker's devices for one run, from the host's side.

Belongs here: who asks for which devices, waiting for another holder, telling a dead holder from a busy one,
giving back.
Does not belong here: the records (container_scripts/device_lock.py), and for how long a run holds on.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from container_scripts.device_lock import ALL_DEVICES
from container_scripts.document import utc_now
from container_scripts.processes import ProcessId, boot_id, is_alive, read_process
from flagrelease_assets.strict_reading import parse_json
from flagrelease_assets.workers.base import Worker, WorkerError, WorkerProblem
from flagrelease_assets.workers.job_models import LEASE_S
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, upload_scripts

COMMAND_LIMIT_S = 330.0
"""Over the limit of the program itself, which may have many orphans to end."""

_PAUSE_S = 2.0
_SAY_EVERY_S = 30.0

Say = Callable[[str], None]
T = TypeVar("T", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class HolderFacts(_Answer):
    """Who holds devices, as the worker's records say it; ``held_s`` and ``renewed_s`` are ages in seconds."""

    run_id: str
    root_run_id: str
    vendor: str
    devices: tuple[str, ...]
    host: str
    user: str
    machine: str
    process: tuple[int, int]
    started_at: str
    held_s: float
    renewed_s: float

    @property
    def is_seen_dead(self) -> bool:
        """Whether its process was on this very machine and is gone; unknown counts as alive."""
        return (
            bool(self.machine) and self.machine == this_machine() and not is_alive(ProcessId(*self.process))
        )

    def __str__(self) -> str:
        devices = "all devices" if ALL_DEVICES in self.devices else f"devices {', '.join(self.devices)}"
        return (
            f"{self.vendor} {devices} held by run {self.run_id} of {self.user}@{self.host} "
            f"for {self.held_s:.0f} s, last heard of {self.renewed_s:.0f} s ago"
        )


class EndedOrphan(_Answer):
    """A job of a dead run that was ended."""

    run: str
    job: str
    ended_by: str
    terminated: tuple[dict[str, Any], ...] = ()
    survivors: tuple[dict[str, Any], ...] = ()


class Taken(_Answer):
    """What taking the devices brought: the record that polls renew, and what was cleaned up."""

    taken: bool
    holder: HolderFacts | None
    record: str | None
    replaced: tuple[str, ...]
    ended: tuple[EndedOrphan, ...]
    pruned: int


@dataclass(frozen=True)
class Contender:
    """One run that wants a vendor's devices on a worker; ``root_run_id`` is that of its first attempt."""

    run_id: str
    root_run_id: str
    vendor: str
    devices: tuple[str, ...]
    lock_root: str
    scripts_root: Path = SCRIPTS_ROOT

    def take(self, worker: Worker, say: Say) -> Taken:
        """Take the devices, after waiting for another holder for at most ``timeouts.busy_s``.

        A holder whose process died on this machine is not waited for. ``say`` gets a line when there is
        something to wait for or to clean up. Raises WorkerError (device_busy) naming the holder.
        """
        limit_s = worker.timeouts.busy_s
        began, said, dead = time.monotonic(), -_SAY_EVERY_S, set[str]()
        while True:
            answer = self._ask(worker, "take", holder=self._as_holder(), dead_runs=sorted(dead))
            taken = _parsed(Taken, answer)
            holder, waited = taken.holder, time.monotonic() - began
            if holder is None:
                for line in _cleaned(taken):
                    say(line)
                return taken
            if holder.is_seen_dead and holder.run_id not in dead:
                dead.add(holder.run_id)
                continue
            if waited > limit_s:
                raise WorkerError(
                    WorkerProblem.DEVICE_BUSY,
                    f"the devices stayed taken for {limit_s:.0f} s: {holder}",
                    "wait for that run or cancel it; `timeouts.busy_s` says how long to wait",
                    retryable=True,
                )
            if waited - said >= _SAY_EVERY_S:
                say(f"waiting for the devices, {limit_s - waited:.0f} s at most: {holder}")
                said = waited
            time.sleep(min(_PAUSE_S, limit_s))

    def give(self, worker: Worker) -> tuple[EndedOrphan, ...]:
        """Give the devices back, after whatever the run left there is ended; raises WorkerError."""
        answer = self._ask(worker, "give", run_id=self.run_id)
        return tuple(EndedOrphan.model_validate(row) for row in answer.get("ended", []))

    def _as_holder(self) -> dict[str, Any]:
        own = read_process(os.getpid())
        return {
            "run_id": self.run_id,
            "root_run_id": self.root_run_id,
            "vendor": self.vendor,
            "devices": self.devices,
            "host": platform.node(),
            "user": _user(),
            "machine": this_machine() if own else "",
            "process": list(own.id) if own else [0, 0],
            "started_at": utc_now(),
            "lease_s": LEASE_S,
        }

    def _ask(self, worker: Worker, command: str, **request: Any) -> dict[str, Any]:
        everywhere = {"folder": self.lock_root, "work_root": worker.work_root}
        return _ask(worker, self.scripts_root, command, {**everywhere, **request})


def holders_of(worker: Worker, lock_root: str, scripts_root: Path = SCRIPTS_ROOT) -> list[HolderFacts]:
    """Return who holds devices of a worker now; raises WorkerError."""
    answer = _ask(worker, scripts_root, "show", {"folder": lock_root})
    return [_parsed(HolderFacts, row) for row in answer.get("holders", [])]


def this_machine() -> str:
    """Return what names this boot and pid namespace, so that a pid means one process; empty if unknown."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot_id()} {namespace}" if boot_id() else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def _ask(worker: Worker, scripts_root: Path, command: str, request: dict[str, Any]) -> dict[str, Any]:
    folder = upload_scripts(worker, scripts_root)
    argv = [worker.python().executable, f"{folder}/hold_devices.py", command, json.dumps(request)]
    completed = worker.execute(argv, timeout_s=max(COMMAND_LIMIT_S, worker.timeouts.command_s))
    if completed.code != 0:
        raise WorkerError(
            WorkerProblem.COMMAND_FAILED,
            f"the device lock of {worker.name!r} cannot be used: {completed.complaint}",
            "check `lock_root` and disk space",
        )
    try:
        answer = parse_json(completed.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise WorkerError(
            WorkerProblem.TRANSFER, f"the answer about the devices of {worker.name!r} came mutilated"
        )
    return answer


def _parsed(kind: type[T], answer: dict[str, Any]) -> T:
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        raise WorkerError(
            WorkerProblem.TRANSFER, f"the answer about the devices makes no sense: {error}"
        ) from error


def _cleaned(taken: Taken) -> list[str]:
    lines = [f"took the devices over from run {run}, which is dead" for run in taken.replaced]
    for orphan in taken.ended:
        pids = ", ".join(f"{process['name']} ({process['pid']})" for process in orphan.terminated)
        lines.append(f"ended what a dead run had left: {orphan.job}, {pids or 'no process any more'}")
        if orphan.survivors:
            lines.append(f"could not end: {', '.join(str(process) for process in orphan.survivors)}")
    if taken.pruned:
        lines.append(f"removed the folders of {taken.pruned} old runs")
    return lines
