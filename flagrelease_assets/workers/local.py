"""A worker that is an interpreter on this machine.

Belongs here: the local kind of every operation of the worker protocol.
Does not belong here: anything that other kinds of worker share.
"""

from __future__ import annotations

import contextlib
import os
import platform
import stat
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from container_scripts.processes import (
    Process,
    end_processes,
    is_alive,
    living_descendants,
    read_process,
)
from flagrelease_assets.contracts.worker import PythonFacts, WorkerIdentity
from flagrelease_assets.redaction import looks_secret
from flagrelease_assets.strict_reading import RefusedDocumentError, TooLargeError, read_ordinary
from flagrelease_assets.workers.archives import too_large
from flagrelease_assets.workers.base import Completed, WorkerError, WorkerProblem, ask_python
from flagrelease_assets.workers.config import LocalWorkerConfig, WorkerTimeouts

_COMMAND_GRACE_S = 1.0
"""Seconds between TERM and KILL for a short command over its limit."""


class LocalWorker:
    """Runs programs with an interpreter of this machine, below a work root of its own.

    Programs inherit this process's environment without its secrets: the variables named in
    ``withheld``, and those whose name announces one.
    """

    def __init__(self, config: LocalWorkerConfig, withheld: Collection[str] = ()) -> None:
        self._config = config
        self._withheld = frozenset(withheld)
        self._python: PythonFacts | None = None

    @property
    def name(self) -> str:
        """How people call this worker."""
        return "local"

    @property
    def work_root(self) -> str:
        """The folder in which everything of ours lives."""
        return self._config.work_root

    @property
    def timeouts(self) -> WorkerTimeouts:
        """How long single operations may take."""
        return self._config.timeouts

    def python(self) -> PythonFacts:
        """Return the interpreter that runs programs here."""
        if self._python is None:
            self._python = ask_python(self, self._config.python)
        return self._python

    def identity(self) -> WorkerIdentity:
        """Return who this machine is now."""
        return WorkerIdentity(kind="local", name=platform.node(), python=self.python())

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run one short command; see Worker.execute."""
        limit = timeout_s or self.timeouts.command_s
        try:
            process = subprocess.Popen(
                list(argv),
                env={**self._inherited(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return Completed(127, b"", str(error).encode())
        with process:
            try:
                stdout, stderr = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise WorkerError(
                    WorkerProblem.TIMEOUT, f"{argv[0]!r} did not end within {limit:g} s", retryable=True
                ) from None
            finally:
                _end_tree(process)
        return Completed(process.returncode, stdout, stderr)

    def _inherited(self) -> dict[str, str]:
        return {
            name: value
            for name, value in os.environ.items()
            if name not in self._withheld and not looks_secret(name)
        }

    def put_files(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write ``files`` into ``folder``."""
        target = Path(folder)
        try:
            self._refuse_the_folder_of_another()
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content in files.items():
                part = target / f"{name}.part"
                part.touch(mode=0o600)
                part.write_bytes(content)
                part.replace(target / name)
        except OSError as error:
            raise WorkerError(
                WorkerProblem.TRANSFER,
                f"cannot write to {folder}: {error}",
                "check `work_root` and disk space",
            ) from error

    def _refuse_the_folder_of_another(self) -> None:
        """Refuse a work root that another user made where everybody may, to have programs changed there."""
        root = Path(self.work_root)
        if not root.parent.is_dir() or not root.parent.stat().st_mode & stat.S_IWOTH:
            return
        with contextlib.suppress(FileNotFoundError):
            owners = {root.lstat().st_uid, root.stat().st_uid}
            if owners - {0, os.geteuid()}:
                raise WorkerError(
                    WorkerProblem.TRANSFER,
                    f"{root} belongs to another user",
                    "set `work_root` to a folder of your own",
                )

    def read_file(self, path: str, *, max_bytes: int) -> bytes:
        """Return the content of one ordinary file."""
        return _read_ordinary(Path(path), max_bytes)

    def read_folder(self, path: str, *, max_bytes: int) -> dict[str, bytes]:
        """Return the ordinary files below a folder by relative name; links are refused."""
        root, files, left = Path(path), dict[str, bytes](), max_bytes
        if not root.is_dir():
            raise WorkerError(WorkerProblem.FILE_MISSING, f"there is no folder {path}")
        for found in sorted(root.rglob("*")):
            if found.is_symlink() or not found.is_dir():
                content = _read_ordinary(found, left)
                files[str(found.relative_to(root))] = content
                left -= len(content)
        return files

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_ordinary(path: Path, max_bytes: int) -> bytes:
    try:
        return read_ordinary(path, max_bytes, follow_links=False)
    except FileNotFoundError:
        raise WorkerError(WorkerProblem.FILE_MISSING, f"there is no file {path}") from None
    except OSError as error:
        raise WorkerError(WorkerProblem.TRANSFER, f"cannot read {path}: {error}") from error
    except TooLargeError:
        raise too_large(str(path), max_bytes) from None
    except RefusedDocumentError as error:
        raise WorkerError(WorkerProblem.TRANSFER, f"refused to read {path}: it is {error}") from error


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, with its children in whichever session; nothing if it has ended."""
    leader = read_process(process.pid) if process.poll() is None else None
    known = {leader.id: leader} if leader else {}

    def living() -> list[Process]:
        alive = [identity.pid for identity in known if is_alive(identity)]
        known.update({child.id: child for child in living_descendants(*alive)})
        return [one for one in known.values() if is_alive(one.id)]

    end_processes(living, _COMMAND_GRACE_S, reap=process.poll)
