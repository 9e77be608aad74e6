"""One release per device set: records of who holds which devices of this worker, and until when.

Belongs here: the folder of records, who holds what, taking and giving back.
Does not belong here: ending what a dead holder left running (job_cleanup), and how long to wait (the host).

A record is a file that its holder's polls renew; one that nobody has renewed for its lease is stale. The
folder is the same for everyone who uses the worker, so that two deployments find each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from container_scripts.document import Document
from container_scripts.job_files import age_by_boot_time, stamp_with_boot_time
from container_scripts.processes import boot_id, boot_time

ALL_DEVICES = "all"
GUARD_LIMIT_S = 20.0
LONGEST_LEASE_S = 900.0
"""The lease of every record of ours; one that claims to last longer, or no time at all, is cut to it."""

MAX_RECORD_BYTES = 64 << 10
MAX_RECORDS = 1000

_PAUSE_S = 0.05
_SUFFIX = ".json"


@dataclass(frozen=True)
class Holder:
    """Who holds devices: one run of a release, and the process of the host that stands for it.

    ``devices`` are indices of ``vendor``'s devices, or ``all``; ``machine`` and ``process`` (pid and start
    in clock ticks) let a contender on the same machine see that the holder is dead; its jobs lie below
    ``work_root``.
    """

    run_id: str
    root_run_id: str
    vendor: str
    devices: Tuple[str, ...]
    host: str
    user: str
    machine: str
    process: Tuple[int, int]
    started_at: str
    lease_s: float
    work_root: str

    @classmethod
    def of(cls, document: Dict[str, Any]) -> Holder:
        """Read a holder from a document; raises ValueError, KeyError or TypeError for one that is none."""
        pid, start_ticks = document["process"]
        known = {"work_root": "", **document}
        texts = {
            field.name: str(known[field.name])
            for field in fields(cls)
            if field.name not in ("devices", "process", "lease_s")
        }
        return cls(
            devices=tuple(str(device) for device in document["devices"]),
            process=(int(pid), int(start_ticks)),
            lease_s=_lease(float(document["lease_s"])),
            **texts,
        )

    def wants_the_same(self, other: Holder) -> bool:
        """Tell whether two holders cannot have their devices at the same time."""
        mine, theirs = set(self.devices), set(other.devices)
        return self.vendor == other.vendor and bool(mine & theirs or ALL_DEVICES in mine | theirs)


@dataclass(frozen=True)
class Record:
    """One record as it lies in the folder; times in seconds, ``owner`` is the user who wrote it."""

    path: str
    owner: int
    holder: Holder
    held_s: float
    renewed_s: float

    @property
    def is_stale(self) -> bool:
        """Whether nobody has renewed it for its lease."""
        return self.renewed_s > self.holder.lease_s

    def to_dict(self) -> Document:
        """Return what the host is told of it."""
        return {**asdict(self.holder), "held_s": round(self.held_s, 1), "renewed_s": round(self.renewed_s, 1)}


@dataclass(frozen=True)
class Taking:
    """What became of the wish to take devices: who has them instead, or the record, and whom it replaces."""

    holder: Optional[Record] = None
    path: Optional[str] = None
    replaced: Tuple[Record, ...] = ()


def take(folder: str, wanted: Holder, dead_runs: Tuple[str, ...] = ()) -> Taking:
    """Take the devices, or say who has them.

    A run that holds them already renews its hold. ``dead_runs`` are runs whose holder the host has seen
    dead; they, stale holders, and earlier attempts of the same run are replaced. Their records stay until
    `discard`, so that who takes over after an interruption knows of them too. Raises OSError if the folder
    cannot be used.
    """
    with _guard(folder):
        rivals = [record for record in _records(folder) if wanted.wants_the_same(record.holder)]
        others = [record for record in rivals if record.holder.run_id != wanted.run_id]
        replaced = [record for record in others if _may_replace(record, wanted, dead_runs)]
        left = [record for record in others if record not in replaced]
        if left:
            return Taking(holder=left[0])
        path = _path_of(folder, wanted.run_id)
        if len(rivals) > len(others):
            renew(path)
        else:
            _write(path, {**asdict(wanted), "boot_id": boot_id(), "since_boot_s": boot_time()})
    return Taking(path=path, replaced=tuple(replaced))


def discard(records: Sequence[Record]) -> None:
    """Remove records that were replaced, once nothing of their runs is left."""
    for record in records:
        with contextlib.suppress(FileNotFoundError, PermissionError):  # another user's counts for nothing
            os.unlink(record.path)


def give_back(folder: str, run_id: str) -> bool:
    """Let go of what a run holds; False if it held nothing."""
    try:
        os.unlink(_path_of(folder, run_id))
    except FileNotFoundError:
        return False
    return True


def renew(path: str) -> None:
    """Say that the holder of a record is still there; a record that another took over stays gone."""
    with contextlib.suppress(OSError):
        stamp_with_boot_time(path)


def holders(folder: str) -> List[Record]:
    """Return the records whose holders still renew them; none if there is no folder yet."""
    records = _records(folder) if os.path.isdir(folder) else []
    return [record for record in records if not record.is_stale]


def _may_replace(record: Record, wanted: Holder, dead_runs: Tuple[str, ...]) -> bool:
    earlier_attempt = record.holder.root_run_id == wanted.root_run_id
    return record.is_stale or earlier_attempt or record.holder.run_id in dead_runs


@contextlib.contextmanager
def _guard(folder: str) -> Iterator[None]:
    """Be the only one who changes the records; raises OSError for a folder that cannot be trusted."""
    if not os.path.lexists(folder):
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder, 0o700)
            os.chmod(folder, 0o1777)  # everyone may add a record, nobody may take away another's
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid not in (0, os.getuid()) and not facts.st_mode & stat.S_ISVTX:
            raise OSError(
                f"{folder} belongs to user {facts.st_uid} and lets others be robbed; set `lock_root`"
            )
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: str) -> None:
    end = boot_time() + GUARD_LIMIT_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if boot_time() > end:
                raise OSError(f"{folder} stayed locked for {GUARD_LIMIT_S:g} s") from None
        time.sleep(_PAUSE_S)


def _records(folder: str) -> List[Record]:
    """Return all records; raises OSError for more than can be, which somebody put there to hide one."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    if len(names) > MAX_RECORDS:
        raise OSError(f"{folder} holds {len(names)} records; remove what is none, or set `lock_root`")
    records = [_read(os.path.join(folder, name)) for name in names]
    return [record for record in records if record]


def _read(path: str) -> Optional[Record]:
    """Return a record, or None for what is none: it may be anybody's file, so nothing is trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as handle:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return None
            document = json.loads(handle.read(MAX_RECORD_BYTES).decode("utf-8"))
        if document["boot_id"] != boot_id():
            return None
        held_s = boot_time() - float(document["since_boot_s"])
        holder = Holder.of(document)
        if path != _path_of(os.path.dirname(path), holder.run_id):  # speaks of a run that is not its own
            return None
        return Record(path, facts.st_uid, holder, held_s, age_by_boot_time(path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _lease(seconds: float) -> float:
    return seconds if 0 < seconds <= LONGEST_LEASE_S else LONGEST_LEASE_S


def _path_of(folder: str, run_id: str) -> str:
    return os.path.join(folder, hashlib.sha256(run_id.encode()).hexdigest()[:32] + _SUFFIX)


def _write(path: str, document: Document) -> None:
    draft = f"{path}.{os.getpid()}.part"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            os.fchmod(descriptor, 0o644)  # whatever the umask: others must be able to see who holds what
            handle.write(json.dumps(document))
            handle.flush()
            os.fsync(descriptor)
        stamp_with_boot_time(draft)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
