"""Which records of devices are believed: the folder is everybody's, so each may be anybody's file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from container_scripts import device_lock as records
from flagrelease_assets.workers.base import WorkerError
from flagrelease_assets.workers.device_lock import Contender
from flagrelease_assets.workers.job_models import LEASE_S
from flagrelease_assets.workers.local import LocalWorker
from tests.faults.contenders import age, other, start_endless_job
from tests.faults.machinery import left_of


def test_records_of_an_earlier_boot_count_for_nothing(tmp_path: Path, local_worker: LocalWorker) -> None:
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"))
    record = Path(one.take(local_worker, print).record or "")
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot_id": "of yesterday"}))
    assert other(one).take(local_worker, print).taken


def test_rubbish_in_the_folder_of_records_blocks_nobody(tmp_path: Path, local_worker: LocalWorker) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "a.json").write_bytes(bytes(range(256)))
    (folder / "b.json").write_text("[" * 50_000)
    (folder / "c.json").write_text('{"boot_id": 1}')
    os.mkfifo(folder / "d.json")
    (folder / "e.json").symlink_to("/etc/passwd")
    (folder / "f.json").mkdir()
    assert Contender("run-1", "run-1", "cpu", ("all",), str(folder)).take(local_worker, print).taken


def test_a_record_that_speaks_of_another_run_ends_nothing_of_it(
    local_worker: LocalWorker, tmp_path: Path, scripts_root: Path
) -> None:
    live = Contender("run-1", "run-1", "nvidia", ("0",), str(tmp_path / "locks"), scripts_root)
    record = Path(live.take(local_worker, print).record or "")
    handle = start_endless_job(local_worker, live)
    forged = {**json.loads(record.read_text()), "devices": ["all"], "lease_s": 0}
    (record.parent / "evil.json").write_text(json.dumps(forged))
    taken = other(live, devices=("1",)).take(local_worker, print)
    assert (taken.taken, taken.replaced, taken.ended) == (True, (), ())
    assert left_of(handle.run_token)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_record_that_another_user_wrote_ends_no_job_of_ours(
    local_worker: LocalWorker, tmp_path: Path, scripts_root: Path
) -> None:
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"), scripts_root)
    record = one.take(local_worker, print).record
    assert record
    handle = start_endless_job(local_worker, one)
    os.chown(record, 12345, 12345)
    age(record, 901)
    taken = other(one).take(local_worker, print)
    assert (taken.replaced, taken.ended) == (("run-1",), ())
    assert left_of(handle.run_token)


@pytest.mark.parametrize("lease", ["NaN", "Infinity", "1e300", "-1"])
def test_no_record_lasts_longer_than_our_leases(
    local_worker: LocalWorker, tmp_path: Path, lease: str
) -> None:
    one = Contender("run-1", "run-1", "cpu", ("all",), str(tmp_path / "locks"))
    record = Path(one.take(local_worker, print).record or "")
    record.write_text(record.read_text().replace('"lease_s": 900.0', f'"lease_s": {lease}'))
    assert f'"lease_s": {lease}' in record.read_text()
    assert LEASE_S == records.LONGEST_LEASE_S
    age(str(record), 901)
    assert other(one).take(local_worker, print).replaced == ("run-1",)


def test_a_record_cannot_be_hidden_behind_many_others(tmp_path: Path, local_worker: LocalWorker) -> None:
    folder = tmp_path / "locks"
    one = Contender("run-1", "run-1", "cpu", ("all",), str(folder))
    one.take(local_worker, print)
    for number in range(records.MAX_RECORDS):
        (folder / f"0{number}.json").touch()
    with pytest.raises(WorkerError, match=r"holds 1001 records; remove what is none, or set `lock_root`"):
        other(one).take(local_worker, print)


def test_the_folder_of_records_is_open_to_all_and_each_record_is_its_owners(
    tmp_path: Path, local_worker: LocalWorker
) -> None:
    record = Contender("r", "r", "cpu", ("all",), str(tmp_path / "locks")).take(local_worker, print).record
    assert record
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777
    assert Path(record).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("trap", ["link", "file"])
def test_a_folder_of_records_that_is_none_is_refused_with_the_key_to_set(
    tmp_path: Path, local_worker: LocalWorker, trap: str
) -> None:
    folder = tmp_path / "locks"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_text("")
    with pytest.raises(WorkerError, match=r"device lock .* cannot be used.*check `lock_root`"):
        Contender("r", "r", "cpu", ("all",), str(folder)).take(local_worker, print)
    assert not (tmp_path / "elsewhere").exists() or not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of somebody else")
def test_a_folder_whose_owner_could_take_records_away_is_refused(
    tmp_path: Path, local_worker: LocalWorker
) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(WorkerError, match="belongs to user 12345"):
        Contender("r", "r", "cpu", ("all",), str(folder)).take(local_worker, print)
