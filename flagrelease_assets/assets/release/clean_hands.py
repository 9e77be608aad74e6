"""Device memory around a job: measured before and after, awaited, recorded; nothing is ever ended for it.

Belongs here: what a run knows of its devices' memory, and whether a job may start or has left something.
Does not belong here: measuring (container_scripts/device_memory.py), processes and ports (the programs).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from flagrelease_assets.contracts.common import DeviceTraces
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.job_models import LEASE_S

TOLERANCE_MB = 512
"""What a driver may keep of a device in MiB after a process has gone, and small tools may take."""

RELEASE_LIMIT_S = 60.0
"""How long a driver may take to free the memory of processes that have ended."""

LONGEST_WAIT_S = LEASE_S * 2 / 3
"""How long a job waits for memory at most: nothing renews the run's hold on the devices meanwhile."""

PAUSE_S = 2.0

Levels = dict[str, int]
"""MiB in use by device index."""


@dataclass
class DeviceMemory:
    """What one run knows of its devices: the lowest level seen, or why none can ever be seen."""

    floor: Levels = field(default_factory=dict)
    unknown: str | None = None

    def note(self, levels: Levels) -> None:
        """Remember a level that is lower than what was known."""
        for device, used in levels.items():
            self.floor[device] = min(used, self.floor.get(device, used))

    def above(self, levels: Levels) -> Levels:
        """Return the devices that have more in use than the lowest level allows."""
        return {d: used for d, used in levels.items() if used > self.floor.get(d, used) + TOLERANCE_MB}


@dataclass(frozen=True)
class Seen:
    """One look at the devices: their levels, those above the floor, and why there are none if so."""

    levels: Levels = field(default_factory=dict)
    taken: Levels = field(default_factory=dict)
    reason: str | None = None
    waited_s: float = 0.0


@dataclass(frozen=True)
class MemoryWatch:
    """Watches the memory of a run's devices around its jobs.

    ``measure`` returns the levels, or the reason for having none; ``busy_s`` is how long a job waits for
    memory that something else has.
    """

    known: DeviceMemory
    measure: Callable[[], Levels | str]
    say: Callable[[str], None]
    busy_s: float
    pause_s: float = PAUSE_S

    def before_job(self, name: str) -> DeviceTraces:
        """Measure before a job, and wait until the memory is as free as it was at the start of the run.

        Raises WorkerError (device_busy) if it does not become so in time; what holds it is not ours.
        """
        seen = self._settled(name, min(self.busy_s, LONGEST_WAIT_S))
        if seen.taken:
            raise WorkerError(
                WorkerProblem.DEVICE_BUSY,
                f"{name} cannot start: after {seen.waited_s:.0f} s there is still "
                f"{self._differences(seen.taken)}, and no process of this run is left",
                "look with the vendor's tool who uses the devices; nothing is ended that is not of this run",
                retryable=True,
            )
        self.known.note(seen.levels)
        return DeviceTraces(before_mb=seen.levels, reason=seen.reason)

    def after_job(self, name: str, before: DeviceTraces) -> DeviceTraces:
        """Measure after a job until its memory is free again, and say so if it does not become free."""
        if before.reason is not None:
            return before
        seen = self._settled(name, RELEASE_LIMIT_S)
        freed, reason = (True if seen.reason is None else None), seen.reason
        if seen.taken:
            freed, reason = False, f"not freed after {seen.waited_s:.0f} s: {self._differences(seen.taken)}"
            self.say(f"{name}: device memory {reason}")
        return before.model_copy(
            update={
                "after_mb": seen.levels,
                "freed": freed,
                "waited_s": round(seen.waited_s, 1),
                "reason": reason,
            }
        )

    def _settled(self, name: str, limit_s: float) -> Seen:
        """Return what is seen once the levels are at the floor, or when the limit is over."""
        began, seen, said = time.monotonic(), Seen(), False
        while self.known.unknown is None:
            seen = self._look(seen.taken)
            waited_s = time.monotonic() - began
            if not seen.taken or waited_s >= limit_s:
                return replace(seen, waited_s=waited_s)
            if not said:
                self.say(f"{name}: waiting up to {limit_s:.0f} s for memory: {self._differences(seen.taken)}")
                said = True
            time.sleep(min(self.pause_s, limit_s))
        return Seen(reason=self.known.unknown)

    def _look(self, taken: Levels) -> Seen:
        """Measure once; a measurement that fails says nothing of later ones, nor that ``taken`` is free."""
        try:
            answer = self.measure()
        except WorkerError as error:
            return Seen(taken=taken, reason=f"not measured: {error}")
        if isinstance(answer, str):
            self.known.unknown = answer
            return Seen(reason=answer)
        return Seen(answer, self.known.above(answer))

    def _differences(self, taken: Levels) -> str:
        parts = [f"{used} MiB on device {d} ({self.known.floor[d]} before)" for d, used in taken.items()]
        return ", ".join(parts)
