"""Telling a slow job from a hung one.

Belongs here: what counts as a sign of life: log growth, CPU time, changes of watched files.
Does not belong here: what happens to a job that shows none.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Dict, List, Tuple

from container_scripts.processes import Process, ProcessId

CPU_SHARE = 0.05
"""The share of one core that counts as work; waiting loops and heartbeats stay below it."""

MAX_WATCHED_FILES = 5000

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Fingerprint = Tuple[int, int, float]


class Activity:
    """Watches one job; ``log_size`` gives the bytes of its log, ``paths`` are files or folders it writes."""

    def __init__(self, log_size: Callable[[], int], paths: List[str]) -> None:
        self._log_size = log_size
        self._paths = paths
        self._seen_log = log_size()
        self._seen_files = self._fingerprint()
        self._seen_ticks: Dict[ProcessId, int] = {}

    def observe(self, processes: List[Process], elapsed_s: float) -> bool:
        """Tell whether the job worked in the ``elapsed_s`` seconds since the last call."""
        log, files = self._log_size(), self._fingerprint()
        worked = self._cpu_share(processes, elapsed_s) >= CPU_SHARE
        changed = log != self._seen_log or files != self._seen_files
        self._seen_log, self._seen_files = log, files
        return worked or changed

    def _cpu_share(self, processes: List[Process], elapsed_s: float) -> float:
        ticks = {process.id: process.cpu_ticks for process in processes}
        spent = sum(max(0, now - self._seen_ticks.get(identity, 0)) for identity, now in ticks.items())
        self._seen_ticks = ticks
        return spent / _TICKS_PER_SECOND / elapsed_s if elapsed_s > 0 else 0.0

    def _fingerprint(self) -> Fingerprint:
        count, total, newest = 0, 0, 0.0
        pending = list(self._paths)
        while pending and count < MAX_WATCHED_FILES:
            path = pending.pop()
            try:
                facts = os.stat(path, follow_symlinks=path in self._paths)
                if stat.S_ISDIR(facts.st_mode):
                    pending.extend(entry.path for entry in os.scandir(path))
            except OSError:
                continue
            count, total, newest = count + 1, total + facts.st_size, max(newest, facts.st_mtime)
        return count, total, newest
