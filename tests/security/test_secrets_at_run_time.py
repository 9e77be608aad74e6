"""A secret is in no process list, no exception and no file of ours while a job runs."""

from __future__ import annotations

import os
import stat
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from container_scripts.scripts_digest import script_files
from flagrelease_assets.workers.base import Completed, WorkerError
from flagrelease_assets.workers.config import LocalWorkerConfig
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, JobSpec, prepare_job, run_job, start_job
from flagrelease_assets.workers.local import LocalWorker

SECRET = "hf_kEpTaWaY0123456789"
SHOW = """
import json, os, sys
output, token = sys.argv[-1], os.environ["FLAGRELEASE_RUN_TOKEN"]
lists = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as handle:
            lists[pid] = handle.read().decode("utf-8", "replace").replace("\\0", " ")
    except OSError:
        pass
secret = os.environ["HF_TOKEN"]
seen = [line for line in lists.values() if secret in line]
with open(output, "w") as handle:
    json.dump({"run_token": token, "has_it": len(secret), "processes": len(lists), "seen": len(seen)}, handle)
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    root = tmp_path / "container_scripts"
    root.mkdir()
    for name, content in script_files(str(SCRIPTS_ROOT)).items():
        (root / name).write_bytes(content)
    (root / "toy.py").write_text(SHOW)
    return root


def job() -> JobSpec:
    return JobSpec(
        run_id="run-1",
        step="step",
        name="toy",
        program="toy",
        deadline_s=60,
        idle_s=60,
        grace_s=1,
        secret_env={"HF_TOKEN": SECRET},
    )


class RecordingWorker(LocalWorker):
    """A local worker that keeps every command line that goes through it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalWorkerConfig(work_root=str(folder / "root")))
        self.argvs: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        self.argvs.append(list(argv))
        self.environments.append(dict(env or {}))
        return super().execute(argv, timeout_s=timeout_s, env=env)


def test_no_process_of_the_machine_has_the_secret_in_its_command_line(tmp_path: Path, scripts: Path) -> None:
    worker = RecordingWorker(tmp_path)
    outcome = run_job(worker, job(), poll_s=0.05, scripts_root=scripts)
    assert outcome.result is not None, outcome
    assert outcome.result["has_it"] == len(SECRET), "the program that needs it did not get it"
    assert outcome.result["processes"] > 2
    assert outcome.result["seen"] == 0
    assert not [argv for argv in worker.argvs if SECRET in " ".join(argv)]


def test_only_the_command_that_starts_the_job_gets_the_secret(tmp_path: Path, scripts: Path) -> None:
    worker = RecordingWorker(tmp_path)
    run_job(worker, job(), poll_s=0.05, scripts_root=scripts)
    given = [
        argv for argv, env in zip(worker.argvs, worker.environments, strict=True) if SECRET in env.values()
    ]
    assert [argv[2] for argv in given] == ["start"]


class RefusingWorker(LocalWorker):
    """A local worker whose command fails once a secret is in its environment, with words about it."""

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        if env and "HF_TOKEN" in env:
            return Completed(1, b"", b"the supervisor cannot start")
        return super().execute(argv, timeout_s=timeout_s, env=env)


def test_no_exception_about_a_job_that_cannot_be_started_holds_the_secret(
    tmp_path: Path, scripts: Path
) -> None:
    timeouts = {"reconnect_s": 0.01}
    config = LocalWorkerConfig.model_validate({"work_root": str(tmp_path / "root"), "timeouts": timeouts})
    worker, spec = RefusingWorker(config), job()
    handle = prepare_job(worker, spec, scripts_root=scripts)
    with pytest.raises(WorkerError) as raised:
        start_job(worker, handle, spec.secret_env)
    error = raised.value
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(spec) + repr(handle)
    assert SECRET not in told


def test_what_we_write_for_a_job_is_readable_by_its_user_alone(tmp_path: Path, scripts: Path) -> None:
    before = os.umask(0)
    try:
        run_job(RecordingWorker(tmp_path), job(), poll_s=0.05, scripts_root=scripts)
    finally:
        os.umask(before)
    (described,) = (tmp_path / "root").rglob("job.json")
    assert stat.S_IMODE(described.stat().st_mode) == 0o600
    assert stat.S_IMODE(described.parent.stat().st_mode) == 0o700
    open_to_others = [
        path
        for path in (tmp_path / "root" / "scripts").rglob("*.py")
        if stat.S_IMODE(path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
    ]
    assert open_to_others == [], "somebody else could change a program that we run"
