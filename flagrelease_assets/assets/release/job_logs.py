"""The logs of a job, as far as they can be had.

Belongs here: reading them. Does not belong here: following a job's log (`workers/jobs.py`), keeping them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flagrelease_assets.workers.base import Worker, WorkerError
from flagrelease_assets.workers.jobs import Connection

MAX_LOG_BYTES = 256 << 20


def received_log(log_file: Path) -> str:
    """Return what the host received of a job's log; empty if the job was never followed."""
    return log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""


def read_log(worker: Worker, path: str, *, say: Callable[[str], None]) -> str:
    """Return a log that a program left in the worker; empty if it left none or a hopeless one."""
    try:
        connection = Connection(worker.timeouts.reconnect_s)
        content = connection.ask(lambda: worker.read_file(path, max_bytes=MAX_LOG_BYTES))
    except WorkerError as error:
        say(f"{path}: {error}")
        return ""
    return content.decode("utf-8", errors="replace")
