"""Asking a worker a quick question through one of our programs, without a supervised job.

Belongs here: programs that answer in a moment (who are you, what is installed).
Does not belong here: anything that loads a framework or may take long: that is a job (`jobs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flagrelease_assets.strict_reading import parse_json
from flagrelease_assets.workers.base import Worker, WorkerError, WorkerProblem
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, upload_scripts


def observe(
    worker: Worker,
    program: str,
    arguments: Sequence[str] = (),
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    scripts_root: Path = SCRIPTS_ROOT,
) -> dict[str, Any]:
    """Run a quick program and return the document that it prints; raises WorkerError if it prints none."""
    folder = upload_scripts(worker, scripts_root)
    argv = [worker.python().executable, f"{folder}/{program}.py", *arguments]
    completed = worker.execute(argv, timeout_s=timeout_s, env=env)
    lines = completed.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        document = parse_json(lines[-1])
    except (IndexError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise WorkerError(
            WorkerProblem.COMMAND_FAILED,
            f"{program} in {worker.name!r} gave no document: {completed.complaint}",
        )
    return document
