"""A worker that is a running container.

Belongs here: the Docker kind of every operation of the worker protocol, and what engine errors mean.
Does not belong here: starting or building containers, and jobs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import docker
import docker.errors
import requests
import urllib3.exceptions

from flagrelease_assets.contracts.worker import PythonFacts, WorkerIdentity
from flagrelease_assets.workers.archives import pack, too_large, unpack
from flagrelease_assets.workers.base import TMPFS_HINT, Completed, WorkerError, WorkerProblem, ask_python
from flagrelease_assets.workers.config import DockerWorkerConfig, WorkerTimeouts
from flagrelease_assets.workers.docker_connection import closed_afterwards, connect

MAX_OUTPUT_BYTES = 64 << 20
"""The most a short command may print."""

_MAKE_FOLDER = "import os,sys; os.makedirs(sys.argv[1], 0o700, exist_ok=True)"
_DIRECTORY_BIT = 1 << 31  # Go's os.ModeDir, as the engine reports file modes
_SPECIAL_BITS = 0x8F280000  # Go's os.ModeType: folder, link, device, pipe, socket, irregular

Answer = TypeVar("Answer")


class DockerWorker:
    """Runs programs in one running container of a Docker engine."""

    def __init__(self, config: DockerWorkerConfig) -> None:
        self._config = config
        self._client: docker.DockerClient | None = None
        self._python: PythonFacts | None = None

    @property
    def name(self) -> str:
        """How people call this worker: the container's name."""
        return self._config.container

    @property
    def work_root(self) -> str:
        """The folder in which everything of ours lives."""
        return self._config.work_root

    @property
    def timeouts(self) -> WorkerTimeouts:
        """How long single operations may take."""
        return self._config.timeouts

    def python(self) -> PythonFacts:
        """Return the container's interpreter that runs programs."""
        if self._python is None:
            self._python = ask_python(self, self._config.python)
        return self._python

    def identity(self) -> WorkerIdentity:
        """Return which container of which image this is, and since when it runs."""
        facts = self._request(
            lambda client: client.api.inspect_container(self.name),
            "look at the container",
            self.timeouts.connect_s,
        )
        state = facts["State"]
        if not state["Running"] or state.get("Paused"):
            raise self._not_running(state["Status"])
        return WorkerIdentity(
            kind="docker",
            name=facts["Name"].lstrip("/"),
            engine=self._config.engine,
            container_id=facts["Id"],
            image=facts["Config"]["Image"],
            image_id=facts["Image"],
            started_at=state["StartedAt"],
            python=self.python(),
        )

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run one short command; see Worker.execute."""

        def run(client: docker.DockerClient) -> Completed:
            made = client.api.exec_create(self.name, list(argv), environment=dict(env or {}))
            try:
                with closed_afterwards(client):
                    output = client.api.exec_start(made["Id"], stream=True, demux=True)
                    stdout, stderr = _collect(output, argv[0])
            except docker.errors.APIError as error:
                if "OCI runtime exec failed" not in str(error.explanation):
                    raise
                return Completed(127, b"", str(error.explanation).encode())
            code = client.api.exec_inspect(made["Id"])["ExitCode"]
            if code is None:
                raise ConnectionError("the connection ended before the command did")
            return Completed(code, stdout, stderr)

        return self._request(run, f"run {argv[0]!r}", timeout_s or self.timeouts.command_s)

    def put_files(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write ``files`` into ``folder`` through the engine's archive interface."""
        python = self.python()
        made = self.execute([python.executable, "-c", _MAKE_FOLDER, folder])
        if made.code != 0:
            raise WorkerError(
                WorkerProblem.TRANSFER,
                f"cannot make {folder} in container {self.name!r}: {made.complaint}",
                "check `work_root` and disk space",
            )
        archive = pack(files, python)

        def put(client: docker.DockerClient) -> None:
            try:
                client.api.put_archive(self.name, folder, archive)
            except docker.errors.NotFound as error:
                if _container_is_missing(error):
                    raise
                raise WorkerError(
                    WorkerProblem.TRANSFER,
                    f"the engine cannot copy into {folder}: {error.explanation}",
                    TMPFS_HINT,
                ) from None

        self._request(put, f"copy files to {folder}", self.timeouts.copy_s)

    def read_file(self, path: str, *, max_bytes: int) -> bytes:
        """Return the content of one ordinary file."""
        files = self._unpack(path, max_bytes, special_allowed=0)
        if len(files) != 1:
            raise WorkerError(WorkerProblem.TRANSFER, f"{path} came as {len(files)} files instead of one")
        return files.popitem()[1]

    def read_folder(self, path: str, *, max_bytes: int) -> dict[str, bytes]:
        """Return the ordinary files below a folder by relative name."""
        files = self._unpack(path, max_bytes, special_allowed=_DIRECTORY_BIT)
        return {name.partition("/")[2]: content for name, content in files.items()}

    def close(self) -> None:
        """Close the connections to the engine."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unpack(self, path: str, max_bytes: int, *, special_allowed: int) -> dict[str, bytes]:
        source = f"{path} in container {self.name!r}"

        def fetch(client: docker.DockerClient) -> dict[str, bytes]:
            try:
                chunks, facts = client.api.get_archive(self.name, path)
            except docker.errors.NotFound as error:
                if _container_is_missing(error):
                    raise
                raise WorkerError(WorkerProblem.FILE_MISSING, f"there is no {source}") from None
            if facts["mode"] & _SPECIAL_BITS != special_allowed:
                raise WorkerError(WorkerProblem.TRANSFER, f"refused to read {source}: it is no ordinary file")
            if not special_allowed and facts["size"] > max_bytes:
                raise too_large(source, max_bytes)
            return unpack(chunks, max_bytes=max_bytes, source=source)

        return self._request(fetch, f"read {path}", self.timeouts.copy_s)

    def _request(self, ask: Callable[[docker.DockerClient], Answer], what: str, limit_s: float) -> Answer:
        """Ask the engine for something, within a limit that holds whatever the connection does."""
        outcome: list[Answer | BaseException] = []

        def work() -> None:
            try:
                outcome.append(ask(self._connected()))
            except BaseException as error:  # handed to the waiting thread below
                outcome.append(error)

        thread = threading.Thread(target=work, name=f"docker {what}", daemon=True)
        thread.start()
        thread.join(limit_s)
        if not outcome:
            self._client = None  # its connection is stuck; the next request gets a new one
            raise WorkerError(
                WorkerProblem.TIMEOUT,
                f"container {self.name!r} did not {what} within {limit_s:g} s",
                "check the load of the machine and the connection to it",
                retryable=True,
            )
        (answer,) = outcome
        if isinstance(answer, BaseException):
            raise self._explain(answer, what) from answer
        return answer

    def _connected(self) -> docker.DockerClient:
        if self._client is None:
            self._client = connect(self._config, round(self.timeouts.connect_s) or 1)
        return self._client

    def _explain(self, error: BaseException, what: str) -> BaseException:
        """Return the WorkerError that says what an error of the engine or of the connection means."""
        match error:
            case docker.errors.NotFound() if _container_is_missing(error):
                return WorkerError(
                    WorkerProblem.CONTAINER_MISSING,
                    f"there is no container {self.name!r} on {self._engine()}",
                    "start it, or set `container` to one that `docker ps` shows",
                )
            case docker.errors.APIError() if error.status_code == 409:
                return self._not_running(_status_in(error.explanation or str(error)))
            case docker.errors.APIError():
                return WorkerError(
                    WorkerProblem.COMMAND_FAILED,
                    f"{self._engine()} refused to {what} in container {self.name!r}: {error.explanation}",
                    retryable=error.is_server_error() or isinstance(error, docker.errors.NotFound),
                )
            case docker.errors.DockerException() | requests.RequestException() | OSError():
                return self._unreachable(error)
            case urllib3.exceptions.HTTPError():
                return self._unreachable(error)
            case _:
                return error

    def _unreachable(self, error: BaseException) -> WorkerError:
        self._client = None
        return WorkerError(
            WorkerProblem.ENGINE_UNREACHABLE,
            f"{self._engine()} does not answer: {error}",
            "check that the engine runs, its address, and your right to use it",
            retryable=True,
        )

    def _not_running(self, status: str) -> WorkerError:
        hint = "unpause it" if status == "paused" else "start it"
        return WorkerError(
            WorkerProblem.CONTAINER_NOT_RUNNING,
            f"container {self.name!r} is {status}",
            f"{hint}, then run again",
            retryable=status in ("paused", "restarting"),
        )

    def _engine(self) -> str:
        return f"the Docker engine at {self._config.engine}" if self._config.engine else "the Docker engine"


def _container_is_missing(error: docker.errors.NotFound) -> bool:
    """Tell a missing container from a missing file, or an exec that a restarted engine has forgotten."""
    return "no such container" in str(error.explanation).lower()


def _status_in(explanation: str) -> str:
    text = explanation.lower()
    return next((status for status in ("paused", "restarting") if status in text), "not running")


def _collect(output: Iterator[Any], program: str) -> tuple[bytes, bytes]:
    stdout, stderr = bytearray(), bytearray()
    for out, err in output:
        stdout += out or b""
        stderr += err or b""
        if len(stdout) + len(stderr) > MAX_OUTPUT_BYTES:
            raise WorkerError(
                WorkerProblem.TRANSFER, f"{program!r} printed more than {MAX_OUTPUT_BYTES} bytes"
            )
    return bytes(stdout), bytes(stderr)
