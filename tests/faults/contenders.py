"""What the tests of device locks share: runs that want devices, their age, their jobs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from container_scripts.processes import boot_time
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.device_lock import Contender
from flagrelease_assets.workers.job_models import JobHandle
from flagrelease_assets.workers.jobs import prepare_job, start_job
from tests.faults.machinery import left_of, toy, wait_for


def other(contender: Contender, run_id: str = "run-2", **changes: Any) -> Contender:
    return replace(contender, **{"run_id": run_id, "root_run_id": run_id, **changes})


def age(path: str, seconds: float) -> None:
    """Let a record look as if nobody had renewed it for so long."""
    then = boot_time() - seconds
    os.utime(path, (then, then))


def start_endless_job(worker: Worker, contender: Contender) -> JobHandle:
    """Start a job of a run that does not end by itself, and wait until it runs."""
    spec = toy("time.sleep(99)", run_id=contender.run_id)
    handle = prepare_job(worker, spec, scripts_root=contender.scripts_root)
    start_job(worker, handle, {})
    wait_for(lambda: left_of(handle.run_token), f"a job of {contender.run_id}")
    return handle
