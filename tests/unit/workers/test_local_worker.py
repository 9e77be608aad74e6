"""The local worker does what the worker protocol says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from container_scripts.processes import read_process
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import LocalWorkerConfig
from flagrelease_assets.workers.local import LocalWorker


@pytest.fixture
def worker(tmp_path: Path) -> LocalWorker:
    return LocalWorker(LocalWorkerConfig(work_root=str(tmp_path / "root")))


def test_arguments_and_environment_arrive_unharmed(worker: LocalWorker) -> None:
    nasty = "x'; touch /tmp/pwn; '"
    code = "import os, sys; print(sys.argv[1], os.environ['WORD'], end='')"
    done = worker.execute([sys.executable, "-c", code, nasty], env={"WORD": "$HOME `id`"})
    assert (done.code, done.stdout.decode()) == (0, f"{nasty} $HOME `id`")


def test_secrets_of_this_process_reach_no_program_unless_they_are_given_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"HUB_LOGIN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MAX_TOKENS"}
    for name in names:
        monkeypatch.setenv(name, f"value of {name}")
    worker = LocalWorker(LocalWorkerConfig(work_root=str(tmp_path)), withheld=["HUB_LOGIN"])
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(worker.execute([sys.executable, "-c", code], env={"HF_TOKEN": "given"}).stdout)
    assert {name: seen[name] for name in names & set(seen)} == {
        "HF_TOKEN": "given",
        "MAX_TOKENS": "value of MAX_TOKENS",
    }


def test_command_that_does_not_end_is_a_timeout(worker: LocalWorker) -> None:
    with pytest.raises(WorkerError, match="did not end within") as caught:
        worker.execute(["sleep", "99"], timeout_s=0.2)
    assert caught.value.category is WorkerProblem.TIMEOUT


def test_a_command_over_its_limit_leaves_no_child_behind_in_whichever_session(
    worker: LocalWorker, tmp_path: Path
) -> None:
    child = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(99)"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}, sys.argv[1]], start_new_session=True)\n"
        "time.sleep(99)"
    )
    with pytest.raises(WorkerError, match="did not end within"):
        worker.execute([sys.executable, "-c", parent, str(tmp_path / "pid")], timeout_s=2)
    process = read_process(int((tmp_path / "pid").read_text()))
    assert process is None or not process.alive


def test_a_command_whose_caller_is_interrupted_does_not_go_on(
    worker: LocalWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupted(process: subprocess.Popen[bytes], **_: object) -> None:
        started.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.execute(["sleep", "99"])
    process = read_process(started[0])
    assert process is None or not process.alive


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/echo"])
def test_interpreter_that_is_none_is_named_with_the_setting_to_change(tmp_path: Path, python: str) -> None:
    worker = LocalWorker(LocalWorkerConfig(python=python, work_root=str(tmp_path)))
    with pytest.raises(
        WorkerError, match=f"'{python}' of worker 'local' is no usable Python.*set `python`"
    ) as caught:
        worker.identity()
    assert caught.value.category is WorkerProblem.PYTHON_MISSING


def test_identity_names_the_interpreter(worker: LocalWorker) -> None:
    assert worker.identity().python.version == sys.version_info[:3]


def test_files_go_in_for_this_user_alone_and_come_back(worker: LocalWorker) -> None:
    folder = f"{worker.work_root}/runs/a"
    worker.put_files(folder, {"one.json": b"1", "two.bin": bytes(range(256))})
    assert worker.read_file(f"{folder}/two.bin", max_bytes=256) == bytes(range(256))
    assert worker.read_folder(folder, max_bytes=1000) == {"one.json": b"1", "two.bin": bytes(range(256))}
    assert Path(folder).stat().st_mode & 0o77 == 0


def test_missing_large_and_unusual_files_are_told_apart(worker: LocalWorker, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"123456")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    found = {}
    for name in ("missing", "large", "link", "pipe"):
        with pytest.raises(WorkerError) as caught:
            worker.read_file(str(tmp_path / name), max_bytes=5)
        found[name] = caught.value.category
    assert found == {
        "missing": WorkerProblem.FILE_MISSING,
        "large": WorkerProblem.FILE_TOO_LARGE,
        "link": WorkerProblem.TRANSFER,
        "pipe": WorkerProblem.TRANSFER,
    }
