"""No name that a worker, a hub or a user gives leads out of the folder that it belongs to."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from container_scripts.scripts_digest import scripts_digest
from flagrelease_assets.contracts.keys import InvalidModelKeyError, model_key
from flagrelease_assets.contracts.worker import PythonFacts
from flagrelease_assets.deployment import ModelEntry
from flagrelease_assets.page_server import read_served
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.workers.archives import MAX_MEMBERS, pack, unpack
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import LocalWorkerConfig
from flagrelease_assets.workers.job_models import JobSpec
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, upload_scripts
from flagrelease_assets.workers.local import LocalWorker
from tests.requirements import cannot_test

OWNER = PythonFacts(executable="/usr/bin/python3", version=(3, 11, 0), uid=0, gid=0)
TRICKS = ("../up", "a/../../up", "/etc/passwd", "..", ".", "a\0b", "a\\..\\b", "")


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    """Make one entry of an archive, of any kind, that claims to have ``size`` bytes."""
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def archive(*members: tarfile.TarInfo) -> bytes:
    """Make an archive of bare headers: what a worker may send says nothing of what follows."""
    headers = [made.tobuf(tarfile.PAX_FORMAT) for made in members]
    return b"".join(headers) + bytes(2 * 512)


HOSTILE_MEMBERS = {
    "symbolic link": member("result.json", tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": member("result.json", tarfile.LNKTYPE, link="../../etc/passwd"),
    "character device": member("result.json", tarfile.CHRTYPE),
    "block device": member("result.json", tarfile.BLKTYPE),
    "pipe": member("result.json", tarfile.FIFOTYPE),
    "absolute path": member("/etc/cron.d/x"),
    "folder above": member("../../x"),
    "folder above in the middle": member("a/../../x"),
    "absolute folder": member("/etc", tarfile.DIRTYPE),
}


@pytest.mark.parametrize("hostile", HOSTILE_MEMBERS.values(), ids=HOSTILE_MEMBERS.keys())
def test_a_hostile_member_is_refused_by_its_name_even_behind_an_ordinary_one(
    hostile: tarfile.TarInfo,
) -> None:
    with pytest.raises(WorkerError, match=r"refused to take .* out of test") as raised:
        unpack([archive(member("log.txt"), hostile)], max_bytes=1000, source="test")
    assert raised.value.category is WorkerProblem.TRANSFER
    assert hostile.name in str(raised.value)


@pytest.mark.parametrize("size", [1 << 30, 1 << 40])
def test_a_file_that_claims_to_be_huge_is_refused_by_its_header(size: int) -> None:
    with pytest.raises(WorkerError, match="larger than the allowed 1000 bytes") as raised:
        unpack([archive(member("log.txt", size=size))], max_bytes=1000, source="test")
    assert raised.value.category is WorkerProblem.FILE_TOO_LARGE


def sparse_archive(real_size: int) -> bytes:
    """Make an archive with one file of a few bytes that unfolds to ``real_size`` bytes of nothing."""
    made = tarfile.TarInfo("log.txt")
    made.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "log.txt",
        "GNU.sparse.size": str(real_size),
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": "0,1",
    }
    made.size = 1
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(made, io.BytesIO(b"x"))
    return out.getvalue()


def test_a_sparse_file_is_as_large_as_it_unfolds_to() -> None:
    with pytest.raises(WorkerError) as raised:
        unpack([sparse_archive(1 << 33)], max_bytes=10_000, source="test")
    assert raised.value.category is WorkerProblem.FILE_TOO_LARGE


def test_more_members_than_allowed_are_refused() -> None:
    many = archive(*(member(f"f{number}") for number in range(MAX_MEMBERS + 1)))
    with pytest.raises(WorkerError, match=f"more than {MAX_MEMBERS} files"):
        unpack([many], max_bytes=1 << 30, source="test")


@given(
    st.lists(
        st.builds(
            member,
            st.text(min_size=1, max_size=20) | st.sampled_from(TRICKS),
            st.sampled_from([bytes([kind]) for kind in b"0123456789ABCDLKMNSVXgx\0"]),
            size=st.sampled_from([0, 1, 512, 10**6, 8**11 - 1]),
            link=st.sampled_from(["", "x", "/etc/passwd"]),
        ),
        max_size=5,
    )
)
def test_whatever_an_archive_holds_only_plain_names_come_out_or_a_worker_error(
    members: list[tarfile.TarInfo],
) -> None:
    try:
        content = archive(*members)
    except ValueError:
        return  # no archive has such a header
    try:
        names = unpack([content], max_bytes=10_000, source="test")
    except WorkerError:
        return
    assert not any(name.startswith("/") or ".." in name.split("/") for name in names)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30).filter(
            lambda name: name not in (".", "..")
        ),
        st.binary(max_size=50),
        max_size=5,
    )
)
def test_what_we_pack_is_never_refused(files: dict[str, bytes]) -> None:
    assert unpack([pack(files, OWNER)], max_bytes=10_000, source="test") == files


def local_worker(folder: Path) -> LocalWorker:
    return LocalWorker(LocalWorkerConfig(work_root=str(folder / "root")))


def test_a_link_in_the_folder_of_a_job_is_refused_by_the_local_worker(tmp_path: Path) -> None:
    job = tmp_path / "root" / "job"
    job.mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (job / "result.json").symlink_to(tmp_path / "secret")
    worker = local_worker(tmp_path)
    with pytest.raises(WorkerError, match=r"result\.json"):
        worker.read_file(str(job / "result.json"), max_bytes=100)
    with pytest.raises(WorkerError, match=r"result\.json"):
        worker.read_folder(str(job), max_bytes=100)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_ordinary_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(WorkerError, match="no ordinary file") as raised:
        local_worker(tmp_path).read_file(str(path), max_bytes=100)
    assert raised.value.category is WorkerProblem.TRANSFER


def test_a_work_root_that_somebody_else_made_where_everybody_may_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o1777)
    root = tmp_path / "root"
    root.mkdir()
    worker = local_worker(tmp_path)
    worker.put_files(f"{root}/mine", {"a": b""})
    if os.geteuid() == 0:
        os.chown(root, 12345, 12345)
    else:  # who cannot give a folder away looks at it as somebody else
        monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(WorkerError, match="belongs to another user; set `work_root`"):
        worker.put_files(f"{root}/job", {"a": b""})
    assert not (root / "job").exists()


def test_nothing_is_run_from_a_work_root_that_somebody_else_prepared(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        cannot_test("giving a folder to another user needs root")
    tmp_path.chmod(0o1777)
    digest = scripts_digest(str(SCRIPTS_ROOT))
    trap = tmp_path / "root" / "scripts" / digest / "container_scripts"
    trap.mkdir(parents=True)
    (trap / "scripts_digest.py").write_text(
        f"open({str(tmp_path / 'run')!r}, 'w'); print({digest!r}, end='')"
    )
    os.chown(trap, 12345, 12345)
    with pytest.raises(WorkerError, match=r"container_scripts belongs to another user; set `work_root`"):
        upload_scripts(local_worker(tmp_path))
    assert not (tmp_path / "run").exists()


FIELDS = ("run_id", "step", "name", "program")


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("field", FIELDS)
def test_no_part_of_a_job_leads_out_of_the_work_root(field: str, trick: str) -> None:
    values: dict[str, Any] = {**dict.fromkeys(FIELDS, "a"), "deadline_s": 1, "idle_s": 1, field: trick}
    with pytest.raises(ValidationError, match=field):
        JobSpec.model_validate(values)


@pytest.mark.parametrize(
    "trick", [*(trick for trick in TRICKS), "org/../x", "org/x/../../y", "a/b/c", "org--../x"]
)
def test_no_model_id_leads_anywhere(trick: str) -> None:
    with pytest.raises(InvalidModelKeyError):
        model_key(trick)
    with pytest.raises(ValidationError):
        ModelEntry.model_validate({"id": trick})


@given(st.text())
def test_a_model_key_is_one_part_of_a_path_or_refused(model: str) -> None:
    try:
        key = model_key(model)
    except InvalidModelKeyError:
        return
    assert Path("/base", key).resolve() == Path("/base") / key
    assert key.isascii()


@pytest.fixture
def served(tmp_path: Path) -> ResultStore:
    (tmp_path / "secret.json").write_text("{}")
    board = tmp_path / "results" / "board"
    board.mkdir(parents=True)
    (board / "index.html").write_text("<p>")
    (board / ".hidden.html").write_text("<p>")
    (board / "link.json").symlink_to(tmp_path / "secret.json")
    return ResultStore(str(tmp_path / "results"))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.json",
        "board/../../secret.json",
        "board/..%2f..%2fsecret.json",
        "board/./../../secret.json",
        "/etc/passwd.json",
        "board//etc/x.json",
        "board/link.json",
        "board/.hidden.html",
        "board\\..\\x.json",
        "board/x\0.json",
        "board/index.html\0.json",
        "board/" + "a" * 5000 + ".json",
        "secret.json",
        "",
        "board",
    ],
)
def test_the_pages_server_gives_nothing_but_the_results(served: ResultStore, path: str) -> None:
    assert read_served(served, "board/index.html") is not None
    assert read_served(served, path) is None


@given(
    st.lists(st.sampled_from(["..", ".", "board", "secret.json", "index.html", "/", "\0", "\\", "é"])).map(
        "/".join
    )
)
def test_no_path_makes_the_pages_server_fail_or_leave_its_folder(path: str) -> None:
    found = read_served(ResultStore("/nowhere/at/all"), path)
    assert found is None
