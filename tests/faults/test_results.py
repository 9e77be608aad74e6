"""Results when writing fails: nothing finished is lost, nothing is half written, and the reader is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no stubs

from flagrelease_assets.contracts import InstallStatus
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.results.store import ResultStore
from tests.faults.machinery import assert_clean, sabotage
from tests.integration.rig import Rig
from tests.requirements import cannot_test
from tests.unit.results.test_store import MODEL, STEP, VENDOR, document

PROJECT = Path(__file__).parents[2]

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from flagrelease_assets.results import store
from tests.unit.results.test_store import document

base, wanted = sys.argv[1], int(sys.argv[2])
done = 0
real = Path.replace

def replace(self, target):
    global done
    if done == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return real(self, target)

Path.replace = replace
store.ResultStore(base).put(document("two", fingerprint="f2"))
"""


@pytest.mark.parametrize("writes", range(6))
def test_a_kill_between_any_two_writes_loses_no_finished_result(tmp_path: Path, writes: int) -> None:
    """History first, then latest, latest pass, and what is derived from them."""
    store = ResultStore(str(tmp_path))
    store.put(document("one", fingerprint="f1"))
    argv = [sys.executable, "-c", KILLED_WRITER, str(tmp_path), str(writes)]
    code = subprocess.run(argv, cwd=PROJECT, check=False, timeout=60).returncode
    assert code in ((-signal.SIGKILL,) if writes < 4 else (-signal.SIGKILL, 0))
    for file in tmp_path.rglob("*.json"):
        assert json.loads(file.read_text()), "a half file"
    latest, latest_pass = store.latest(STEP, VENDOR, MODEL), store.latest_pass(STEP, VENDOR, MODEL)
    assert latest is not None and latest.run_id == ("two" if writes > 1 else "one")
    assert latest_pass is not None and latest_pass.run_id == ("two" if writes > 2 else "one")
    assert store.of_run(STEP, VENDOR, MODEL, "one") is not None
    assert (store.of_run(STEP, VENDOR, MODEL, "two") is not None) == (writes > 0)
    assert list(store.cells(STEP)) == [(VENDOR, MODEL)], "what was left half done is no result"
    store.put(document("three"))
    assert store.latest(STEP, VENDOR, MODEL) is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        cannot_test(f"a file system of its own size needs root: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(bytes(4096))
        except OSError:
            return filler


def test_a_full_disk_keeps_what_is_stored_and_takes_the_next_result_once_there_is_room(
    small_disk: Path,
) -> None:
    store = ResultStore(str(small_disk))
    store.put(document("one"))
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left on device"):
        store.put(document("two", reason="x" * 100_000))
    found = store.latest(STEP, VENDOR, MODEL)
    assert found is not None and found.run_id == "one"
    assert [file.name for file in small_disk.rglob("*.part")] == []
    filler.unlink()
    store.put(document("two"))
    found = store.latest(STEP, VENDOR, MODEL)
    assert found is not None and found.run_id == "two"


def test_a_release_on_a_full_disk_is_red_says_why_and_leaves_nothing_running(
    rig: Rig, small_disk: Path
) -> None:
    fill(small_disk)
    rig.write_deployment()
    rig.deployment_file.write_text(
        rig.deployment_file.read_text().replace("results: results", f"results: {small_disk}")
    )
    result = rig.run()
    assert not result.success
    assert result.failure is not None and "No space left on device" in result.failure
    assert_clean(rig)


def test_a_results_path_that_cannot_be_written_is_red_and_names_it(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    result = rig.run()
    assert not result.success
    assert result.failure is not None and str(tmp_path / "results") in result.failure
    assert list((rig.folder / "locks").iterdir()) == [], "the devices were given back"


def test_a_worker_whose_disk_a_job_filled_still_says_how_the_job_ended(rig: Rig, small_disk: Path) -> None:
    rig.workers["cpu"]["work_root"] = str(small_disk / "worker-cpu")
    rig.workers["cpu"]["retries"] = 0
    fill_disk = """
with open("filler", "wb", buffering=0) as handle:
    try:
        while True:
            handle.write(bytes(512))
    except OSError as error:
        print(error, flush=True)
        sys.exit(3)
"""
    subprocess.run(["mount", "-o", "remount,size=6m", str(small_disk)], check=True)
    sabotage(rig, "collect_env_info", "install_status", fill_disk)
    rig.run(job="install")
    found = rig.document(InstallStatus, "install_status")
    assert found.status == Status.FAIL
    assert (found.jobs[0].ended_by, found.jobs[0].exit_code) == ("exited", 3)
    assert "No space left on device" in (found.reason or ""), found.reason
    assert list((rig.folder / "locks").iterdir()) == []


def test_a_bucket_out_of_reach_is_red_and_names_the_cause(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails from the third step on; what was stored before stays."""
    rig.write_deployment()
    bucket = f"memory://bucket-{os.getpid()}/results"
    rig.deployment_file.write_text(
        rig.deployment_file.read_text().replace("results: results", f"results: {bucket}")
    )
    assert rig.run(job="install").success
    real = MemoryFileSystem._open

    def refuse(self: MemoryFileSystem, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" in mode:
            raise ConnectionError("the bucket's endpoint does not answer")
        return real(self, path, mode, **options)

    monkeypatch.setattr(MemoryFileSystem, "_open", refuse)
    result = rig.run(force=True)
    assert not result.success
    assert result.failure is not None and "the bucket's endpoint does not answer" in result.failure
    monkeypatch.undo()
    stored = rig.document(InstallStatus, "install_status")
    assert stored.status == Status.PASS
    assert_clean(rig)
