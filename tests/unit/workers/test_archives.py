"""Archives from a worker are unpacked without trust."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.contracts.worker import PythonFacts
from flagrelease_assets.workers.archives import pack, unpack
from flagrelease_assets.workers.base import WorkerError, WorkerProblem

OWNER = PythonFacts(executable="/usr/bin/python3", version=(3, 11, 0), uid=12, gid=34)
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)


def _archive(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/shadow", len(content)
        tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5), st.integers(1, 700))
def test_what_is_packed_comes_out_whatever_the_size_of_the_chunks(files: dict[str, bytes], size: int) -> None:
    archive = pack(files, OWNER)
    chunks = (archive[start : start + size] for start in range(0, len(archive), size))
    assert unpack(chunks, max_bytes=20_000, source="test") == files


def test_files_belong_to_the_user_of_the_worker_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack({"job.json": b"{}"}, OWNER))) as tar:
        (member,) = tar.getmembers()
    assert (member.uid, member.gid, member.mode) == (12, 34, 0o600)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up"])
def test_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(WorkerError, match="leads out") as caught:
        unpack([_archive(name)], max_bytes=100, source="test")
    assert caught.value.category is WorkerProblem.TRANSFER


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    with pytest.raises(WorkerError, match="link, a device"):
        unpack([_archive("result.json", kind, b"")], max_bytes=100, source="test")


def test_too_large_a_file_is_refused_by_its_header_and_by_its_stream() -> None:
    archive = _archive("result.json", content=b"x" * 101)
    with pytest.raises(WorkerError) as caught:
        unpack([archive], max_bytes=100, source="test")
    assert caught.value.category is WorkerProblem.FILE_TOO_LARGE
    endless = iter(lambda: b"\0" * 65536, None)
    with pytest.raises(WorkerError) as caught:
        unpack(endless, max_bytes=100, source="test")
    assert caught.value.category is WorkerProblem.FILE_TOO_LARGE


@given(st.binary(min_size=1, max_size=3000))
def test_garbage_is_an_error_of_the_transfer_and_nothing_else(garbage: bytes) -> None:
    try:
        unpack([garbage], max_bytes=10_000, source="test")
    except WorkerError as error:
        assert error.category in (WorkerProblem.TRANSFER, WorkerProblem.FILE_TOO_LARGE)
