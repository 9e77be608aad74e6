"""One release per device set, whoever starts it; a dead holder is told from a busy one and cleaned up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from container_scripts import device_lock as records
from container_scripts import job_cleanup
from container_scripts.engine_caches import CACHES
from container_scripts.job_cleanup import KEPT_CACHES, KEPT_RUNS, end_orphans, prune
from container_scripts.job_files import JobDirectory
from container_scripts.processes import ProcessId, is_alive
from flagrelease_assets.workers import device_lock
from flagrelease_assets.workers.base import Worker, WorkerError, WorkerProblem
from flagrelease_assets.workers.config import LocalWorkerConfig
from flagrelease_assets.workers.device_lock import Contender, holders_of
from flagrelease_assets.workers.jobs import follow_job, prepare_job, run_job, start_job
from flagrelease_assets.workers.local import LocalWorker
from tests.faults.contenders import age, other, start_endless_job
from tests.faults.machinery import PASSES, TIMEOUTS, left_of, toy, wait_for

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def first(worker: Worker, tmp_path: Path, scripts_root: Path) -> Contender:
    """A run that wants all devices of the worker."""
    lock_root = str(tmp_path / "locks") if isinstance(worker, LocalWorker) else "/tmp/flagrelease-locks"
    return Contender("run-1", "run-1", "cpu", ("all",), lock_root, scripts_root)


def test_a_second_release_waits_and_then_fails_naming_the_first(worker: Worker, first: Contender) -> None:
    said: list[str] = []
    assert first.take(worker, said.append).record
    with pytest.raises(WorkerError) as caught:
        other(first).take(worker, said.append)
    assert caught.value.category is WorkerProblem.DEVICE_BUSY
    assert caught.value.retryable
    for word in ("cpu all devices held by run run-1 of ", "@", "last heard of", "busy_s"):
        assert word in str(caught.value)
    assert said and said[0].startswith("waiting for the devices, 2 s at most")
    assert [holder.run_id for holder in holders_of(worker, first.lock_root, first.scripts_root)] == ["run-1"]


def test_the_steps_of_one_run_share_its_hold_and_giving_back_lets_the_next_one_in(
    worker: Worker, first: Contender
) -> None:
    record = first.take(worker, print).record
    assert first.take(worker, print).record == record
    first.give(worker)
    assert holders_of(worker, first.lock_root, first.scripts_root) == []
    assert other(first).take(worker, print).replaced == ()


@pytest.mark.parametrize(
    ("devices", "vendor", "busy"),
    [
        (("1", "2"), "nvidia", True),
        (("all",), "nvidia", True),
        (("2", "3"), "nvidia", False),
        (("0",), "amd", False),
    ],
)
def test_only_releases_that_want_the_same_device_exclude_each_other(
    local_worker: LocalWorker, tmp_path: Path, devices: tuple[str, ...], vendor: str, busy: bool
) -> None:
    one = Contender("run-1", "run-1", "nvidia", ("0", "1"), str(tmp_path / "locks"))
    one.take(local_worker, print)
    two = other(one, devices=devices, vendor=vendor)
    if busy:
        with pytest.raises(WorkerError, match="nvidia devices 0, 1 held by run run-1"):
            two.take(local_worker, print)
    else:
        assert two.take(local_worker, print).taken


def test_two_deployments_with_work_roots_of_their_own_exclude_each_other(tmp_path: Path) -> None:
    workers = [
        LocalWorker(LocalWorkerConfig(work_root=str(tmp_path / name), timeouts=TIMEOUTS)) for name in "ab"
    ]
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"))
    one.take(workers[0], print)
    with pytest.raises(WorkerError, match="held by run run-1"):
        other(one).take(workers[1], print)


def test_a_hold_that_nobody_renews_is_stale_after_its_lease(
    local_worker: LocalWorker, tmp_path: Path
) -> None:
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"))
    record = one.take(local_worker, print).record
    assert record
    age(record, 901)
    said: list[str] = []
    assert other(one).take(local_worker, said.append).replaced == ("run-1",)
    assert said == ["took the devices over from run run-1, which is dead"]


def test_polls_of_a_job_renew_the_hold_of_its_run(
    worker: Worker, first: Contender, scripts_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock, "LEASE_S", 2.0)
    record = first.take(worker, print).record
    job = toy(f"time.sleep(4)\n{PASSES}", lock=record)
    assert run_job(worker, job, poll_s=0.2, scripts_root=scripts_root).completed
    (holder,) = holders_of(worker, first.lock_root, scripts_root)
    assert holder.held_s > 3 and holder.renewed_s < 2


HOLDER = """
    import sys, time
    from flagrelease_assets.workers.device_lock import Contender
    from flagrelease_assets.workers.config import WorkerConfig
    from flagrelease_assets.workers.factory import open_worker
    from flagrelease_assets.workers.jobs import prepare_job, start_job
    from pathlib import Path
    from pydantic import TypeAdapter
    from tests.faults.machinery import toy
    worker = open_worker(TypeAdapter(WorkerConfig).validate_json(sys.argv[1]))
    root = Path(sys.argv[3])
    one = Contender("run-1", "run-1", "cpu", ("all",), sys.argv[2], root)
    one.take(worker, print)
    handle = prepare_job(worker, toy("time.sleep(99)"), scripts_root=root)
    start_job(worker, handle, {})
    print(handle.run_token, flush=True)
    time.sleep(99)
"""


def test_a_host_process_that_was_killed_is_seen_dead_at_once_and_its_job_is_ended(
    worker: Worker, first: Contender
) -> None:
    config = worker._config.model_dump_json()  # type: ignore[attr-defined]  # both kinds have one
    argv = [sys.executable, "-c", textwrap.dedent(HOLDER), config, first.lock_root, str(first.scripts_root)]
    host = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert host.stdout is not None
    token = host.stdout.readline().strip()
    wait_for(lambda: left_of(token), "job of the host that will die")
    host.send_signal(signal.SIGKILL)
    host.wait()
    said: list[str] = []
    taken = other(first).take(worker, said.append)
    assert taken.replaced == ("run-1",)
    assert [orphan.ended_by for orphan in taken.ended] == ["cancelled"]
    assert left_of(token) == []
    assert said[0] == "took the devices over from run run-1, which is dead"
    assert said[1].startswith("ended what a dead run had left: runs/run-1/step/toy-")


def test_a_retry_takes_over_from_the_attempt_that_it_repeats_and_ends_its_job(
    worker: Worker, first: Contender, scripts_root: Path
) -> None:
    first.take(worker, print)
    handle = start_endless_job(worker, first)
    retry = other(first, root_run_id=first.run_id)
    assert retry.take(worker, print).replaced == ("run-1",)
    assert left_of(handle.run_token) == []
    assert follow_job(worker, handle, poll_s=0.1).exit.reason == "cancelled"


def test_giving_back_ends_what_the_run_has_left_before_others_get_in(
    worker: Worker, first: Contender, scripts_root: Path
) -> None:
    first.take(worker, print)
    handle = prepare_job(worker, toy("time.sleep(99)"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    (orphan,) = first.give(worker)
    assert (orphan.run, orphan.ended_by, orphan.survivors) == ("run-1", "cancelled", ())
    assert left_of(handle.run_token) == []


def test_the_next_contact_ends_the_job_of_a_supervisor_that_was_killed(
    worker: Worker, first: Contender, scripts_root: Path
) -> None:
    handle = prepare_job(worker, toy("time.sleep(99)", run_id="run-0"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    wait_for(lambda: left_of(handle.run_token), "program")
    state = json.loads(worker.read_file(f"{handle.job_dir}/state.json", max_bytes=9999))
    kill = f"import os; os.kill({state['supervisor'][0]}, 9)"
    worker.execute([worker.python().executable, "-c", kill])
    (orphan,) = first.take(worker, print).ended
    assert (orphan.run, orphan.ended_by) == ("run-0", "lost")
    assert left_of(handle.run_token) == []


def test_a_living_job_of_another_run_is_left_alone(
    worker: Worker, first: Contender, scripts_root: Path
) -> None:
    handle = prepare_job(worker, toy(f"time.sleep(2)\n{PASSES}", run_id="run-0"), scripts_root=scripts_root)
    start_job(worker, handle, {})
    assert first.take(worker, print).ended == ()
    assert follow_job(worker, handle, poll_s=0.1).completed


def test_a_supervisor_that_hangs_long_after_its_lease_is_ended_with_its_job(
    local_worker: LocalWorker, scripts_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_cleanup, "END_LIMIT_S", 1.0)
    handle = prepare_job(local_worker, toy("time.sleep(99)", lease_s=5), scripts_root=scripts_root)
    start_job(local_worker, handle, {})
    wait_for(lambda: left_of(handle.run_token), "program")
    supervisor = JobDirectory(handle.job_dir).state()["supervisor"]  # type: ignore[index]
    os.kill(supervisor[0], signal.SIGSTOP)
    assert end_orphans(local_worker.work_root, []) == [], "within its time it is left alone"
    age(f"{handle.job_dir}/lease", 600)
    (ended,) = end_orphans(local_worker.work_root, [])
    assert ended["ended_by"] == "lost"
    assert left_of(handle.run_token) == []
    assert not is_alive(ProcessId(*supervisor))


def test_folders_of_old_runs_go_and_those_of_living_ones_stay(
    local_worker: LocalWorker, scripts_root: Path
) -> None:
    handle = prepare_job(local_worker, toy("time.sleep(99)", run_id="living"), scripts_root=scripts_root)
    start_job(local_worker, handle, {})
    runs = Path(local_worker.work_root, "runs")
    for number in range(KEPT_RUNS + 5):
        folder = runs / f"old-{number:03}"
        (folder / "step").mkdir(parents=True)
        os.utime(folder, (1000 + number, 1000 + number))
    for name in ("living", "held"):
        (runs / name).mkdir(exist_ok=True)
        os.utime(runs / name, (1, 1))
    assert prune(local_worker.work_root, ["held"]) == 5
    left = {entry.name for entry in runs.iterdir()}
    assert {"living", "held", "old-054", "old-005"} <= left
    assert not {"old-000", "old-004"} & left
    end_orphans(local_worker.work_root, ["living"])
    assert left_of(handle.run_token) == []


def test_caches_of_old_runs_go_long_before_their_folders_and_those_of_living_runs_stay(
    local_worker: LocalWorker,
) -> None:
    caches = Path(local_worker.work_root, CACHES)
    for number, name in enumerate(["living", "old", *(f"new-{one}" for one in range(KEPT_CACHES))]):
        (caches / name / "stack").mkdir(parents=True)
        os.utime(caches / name, (1000 + number, 1000 + number))
    assert prune(local_worker.work_root, ["living"]) == 0, "caches are not counted as runs"
    assert {entry.name for entry in caches.iterdir()} == {
        "living",
        *(f"new-{one}" for one in range(KEPT_CACHES)),
    }


def test_a_dead_run_of_an_installation_with_a_work_root_of_its_own_is_cleaned_up_there(
    local_worker: LocalWorker, tmp_path: Path, scripts_root: Path
) -> None:
    config = LocalWorkerConfig(work_root=str(tmp_path / "theirs"), timeouts=TIMEOUTS)
    theirs = LocalWorker(config)
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"), scripts_root)
    record = one.take(theirs, print).record
    assert record
    handle = start_endless_job(theirs, one)
    age(record, 901)
    (orphan,) = other(one).take(local_worker, print).ended
    assert (orphan.run, orphan.ended_by) == ("run-1", "cancelled")
    assert left_of(handle.run_token) == []


def test_a_take_over_that_was_interrupted_is_completed_by_the_next_one(
    local_worker: LocalWorker, tmp_path: Path, scripts_root: Path
) -> None:
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"), scripts_root)
    record = Path(one.take(local_worker, print).record or "")
    handle = start_endless_job(local_worker, one)
    age(str(record), 901)
    second = records.Holder.of({**json.loads(record.read_text()), "run_id": "run-2", "root_run_id": "run-2"})
    assert records.take(one.lock_root, second).path, "and here it was killed"
    taken = other(one).take(local_worker, print)
    assert [orphan.run for orphan in taken.ended] == ["run-1"]
    assert left_of(handle.run_token) == []
    assert not record.exists()


def test_twenty_contenders_at_once_leave_exactly_one_holder(tmp_path: Path) -> None:
    folder = str(tmp_path / "locks")
    code = (
        "import sys; from container_scripts import device_lock as d; "
        "h = d.Holder(sys.argv[2], sys.argv[2], 'cpu', ('all',), 'h', 'u', 'm', (1, 1), 'now', 900.0, '/w'); "
        "print(d.take(sys.argv[1], h).holder is None)"
    )
    argv = [sys.executable, "-c", code, folder]
    started = [
        subprocess.Popen([*argv, f"run-{n}"], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        for n in range(20)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in started]
    assert sorted(answers) == ["False"] * 19 + ["True"]
    assert len(records.holders(folder)) == 1
