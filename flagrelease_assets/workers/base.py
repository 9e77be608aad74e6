"""What every worker can do, whatever its kind.

Belongs here: the worker protocol, and the one error that workers raise.
Does not belong here: any single kind of worker, jobs, and who a worker is (`contracts/worker.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from pydantic import ValidationError

from flagrelease_assets.contracts.worker import PythonFacts, WorkerIdentity
from flagrelease_assets.strict_reading import parse_json
from flagrelease_assets.workers.config import WorkerTimeouts

PYTHON_NEEDED = (3, 8)

TMPFS_HINT = "an engine cannot copy into a tmpfs: set `work_root` to a folder on the container's own disk"

_PYTHON_FACTS = (
    "import json,os,sys;"
    "print(json.dumps(dict(executable=sys.executable,version=list(sys.version_info[:3]),"
    "uid=os.getuid(),gid=os.getgid())))"
)


class WorkerProblem(StrEnum):
    """What can be wrong with a worker."""

    ENGINE_UNREACHABLE = "engine_unreachable"
    CONTAINER_MISSING = "container_missing"
    CONTAINER_NOT_RUNNING = "container_not_running"
    PYTHON_MISSING = "python_missing"
    TIMEOUT = "timeout"
    TRANSFER = "transfer"
    FILE_MISSING = "file_missing"
    FILE_TOO_LARGE = "file_too_large"
    COMMAND_FAILED = "command_failed"
    DEVICE_BUSY = "device_busy"


class WorkerError(Exception):
    """A worker could not do what it was asked; its text is one line: what happened, and what to do.

    ``retryable`` says whether the same request may succeed a moment later.
    """

    def __init__(
        self, category: WorkerProblem, cause: str, hint: str = "", *, retryable: bool = False
    ) -> None:
        self.category = category
        self.cause = " ".join(cause.split())
        self.hint = hint
        self.retryable = retryable
        super().__init__(self.cause + (f"; {hint}" if hint else ""))


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """The last line of what it wrote, standard error first."""
        text = (self.stderr.strip() or self.stdout.strip()).decode("utf-8", "replace")
        return text.splitlines()[-1] if text else "no output"


class Worker(Protocol):
    """A place where programs run. Paths are absolute and in the worker; every method raises WorkerError."""

    @property
    def name(self) -> str:
        """How people call this worker."""
        ...

    @property
    def work_root(self) -> str:
        """The folder in which everything of ours lives."""
        ...

    @property
    def timeouts(self) -> WorkerTimeouts:
        """How long single operations may take."""
        ...

    def python(self) -> PythonFacts:
        """Return the interpreter that runs programs here; looked at once per worker object."""
        ...

    def identity(self) -> WorkerIdentity:
        """Return who this worker is now."""
        ...

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run one short command and return how it ended.

        ``env`` is added to the worker's environment and may hold secrets. A command over ``timeout_s``
        (default: timeouts.command_s) is given up; long work belongs into a job.
        """
        ...

    def put_files(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write ``files`` (plain name -> content) into ``folder``, which is made for this user alone."""
        ...

    def read_file(self, path: str, *, max_bytes: int) -> bytes:
        """Return the content of one ordinary file of at most ``max_bytes`` bytes."""
        ...

    def read_folder(self, path: str, *, max_bytes: int) -> dict[str, bytes]:
        """Return the ordinary files below a folder by relative name, at most ``max_bytes`` bytes in all."""
        ...

    def close(self) -> None:
        """Let go of connections; the worker itself goes on."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def ask_python(worker: Worker, python: str) -> PythonFacts:
    """Ask the interpreter ``python`` of a worker who it is, and whether it is new enough.

    Raises WorkerError (python_missing) if it does not answer as a Python would, or is too old.
    """
    completed = worker.execute([python, "-c", _PYTHON_FACTS])
    hint = f"set `python` of worker {worker.name!r} to the interpreter that has the stack"
    try:
        facts = PythonFacts.model_validate(parse_json(completed.stdout))
    except (ValueError, ValidationError):
        raise WorkerError(
            WorkerProblem.PYTHON_MISSING,
            f"{python!r} of worker {worker.name!r} is no usable Python: {completed.complaint}",
            hint,
        ) from None
    if facts.version < PYTHON_NEEDED:
        raise WorkerError(
            WorkerProblem.PYTHON_MISSING,
            f"{python!r} of worker {worker.name!r} is Python {'.'.join(map(str, facts.version))}, "
            f"but {'.'.join(map(str, PYTHON_NEEDED))} or newer is needed",
            hint,
        )
    return facts
