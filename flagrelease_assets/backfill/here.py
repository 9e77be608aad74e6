"""A backfill without a server: a process for each release, one at a time per vendor, vendors in parallel.

Belongs here: those processes. Does not belong here: the queue of a running daemon (`server.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from flagrelease_assets.backfill.plan import PlannedCell
from flagrelease_assets.backfill.progress import LOST, Progress
from flagrelease_assets.strict_reading import parse_json

STOP_GRACE_S = 60.0
"""How long a release that is told to end may take: it ends its job in the worker first."""

_TAIL = 400


@dataclass
class LocalBackfill:
    """Runs the releases of a backfill as child processes of this one."""

    progress: Progress
    force: bool = False
    _children: list[subprocess.Popen[str]] = field(default_factory=list)
    _stopped: bool = False

    def run(self, cells: Sequence[PlannedCell]) -> None:
        """Run the releases to their ends; an interrupt ends them and is raised again."""
        by_vendor: dict[str, list[PlannedCell]] = {}
        for cell in cells:
            by_vendor.setdefault(cell.vendor, []).append(cell)
        with ThreadPoolExecutor(max_workers=max(1, len(by_vendor))) as pool:
            done = [pool.submit(self._run_vendor, queue) for queue in by_vendor.values()]
            try:
                for future in done:
                    future.result()
            except BaseException:
                self._stop()
                raise

    def _run_vendor(self, cells: Sequence[PlannedCell]) -> None:
        for cell in cells:
            if self._stopped:
                return
            self._release(cell)

    def _release(self, cell: PlannedCell) -> None:
        command = [
            sys.executable,
            "-m",
            "flagrelease_assets.cli",
            "release",
            cell.vendor,
            cell.model,
            "--json",
        ]
        self.progress.begin(cell.vendor, cell.model)
        child = subprocess.Popen(
            [*command, *(["--force"] if self.force else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._children.append(child)
        output, complaints = child.communicate()
        document = _document(output)
        status = document.get("status")
        if status is None:
            said = complaints.strip()[-_TAIL:] or f"the process ended with code {child.returncode}"
            self.progress.finish(cell.vendor, cell.model, LOST, said)
            return
        reason = str(document.get("conclusion") or document.get("reason") or "")
        self.progress.finish(cell.vendor, cell.model, str(status), reason, document.get("run_id"))

    def _stop(self) -> None:
        """Tell every release to end, as an interrupt in its own terminal would, and wait for it."""
        self._stopped = True
        for child in self._children:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGINT)
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_GRACE_S)


def _document(output: str) -> dict[str, Any]:
    try:
        found = parse_json(output)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
