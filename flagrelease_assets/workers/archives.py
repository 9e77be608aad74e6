"""Files on their way into and out of a container, as tar archives.

Belongs here: packing, and unpacking without trust in what the archive says.
Does not belong here: connections.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from flagrelease_assets.contracts.worker import PythonFacts
from flagrelease_assets.workers.base import WorkerError, WorkerProblem

MAX_MEMBERS = 10_000
_IN_MEMORY_BYTES = 8 << 20
_TAR_SLACK_BYTES = 1 << 20


def pack(files: Mapping[str, bytes], owner: PythonFacts) -> bytes:
    """Return an archive of ``files`` (plain name -> content) that belong to the user of ``owner`` alone."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            member.uid, member.gid = owner.uid, owner.gid
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def unpack(chunks: Iterable[bytes], *, max_bytes: int, source: str) -> dict[str, bytes]:
    """Return the ordinary files of an archive by name; ``source`` is what error messages call it.

    Raises WorkerError (file_too_large) over ``max_bytes`` bytes, and (transfer) for a broken archive, or
    one with an absolute name, a ``..``, a link, a device, or more than MAX_MEMBERS members.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as archive:
        received = 0
        for chunk in chunks:
            received += len(chunk)
            if received > max_bytes + _TAR_SLACK_BYTES:
                raise too_large(source, max_bytes)
            archive.write(chunk)
        archive.seek(0)
        try:
            with tarfile.open(fileobj=archive, mode="r:") as tar:
                return _ordinary_files(tar, max_bytes, source)
        except tarfile.TarError as error:
            raise WorkerError(
                WorkerProblem.TRANSFER, f"the archive of {source} is broken: {error}", retryable=True
            ) from error


def too_large(source: str, max_bytes: int) -> WorkerError:
    """Return the error for ``source`` being over ``max_bytes`` bytes."""
    return WorkerError(WorkerProblem.FILE_TOO_LARGE, f"{source} is larger than the allowed {max_bytes} bytes")


def _ordinary_files(tar: tarfile.TarFile, max_bytes: int, source: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    for count, member in enumerate(tar):
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\0" in member.name:
            raise _refused(source, member.name, "its name leads out of the folder")
        if not (member.isreg() or member.isdir()):
            raise _refused(source, member.name, "it is a link, a device or a pipe")
        if count >= MAX_MEMBERS:
            raise _refused(source, member.name, f"there are more than {MAX_MEMBERS} files")
        total += member.size
        if total > max_bytes:
            raise too_large(source, max_bytes)
        content = tar.extractfile(member)
        if content is not None:
            files[str(path)] = content.read()
    return files


def _refused(source: str, member: str, reason: str) -> WorkerError:
    return WorkerError(WorkerProblem.TRANSFER, f"refused to take {member!r} out of {source}: {reason}")
