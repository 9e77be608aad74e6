"""Finds a Docker engine on this machine, or runs one for the duration of a test session.

Belongs here: asking whether an engine answers; starting and ending an engine of our own.
Does not belong here: images and containers; remote engines, which a deployment configures.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

from flagrelease_assets.demo.progress import DemoError

PING_TIMEOUT_S = 5
OPERATION_TIMEOUT_S = 900
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
DEFAULT_SOCKET = Path("/var/run/docker.sock")
_RUNNING_ENGINE_PIDFILES = (Path("/var/run/docker.pid"), Path("/run/docker.pid"))


@dataclass(frozen=True)
class OwnEngine:
    """A Docker engine that we started and therefore may end.

    ``process_start`` is the kernel's start time of the process (clock ticks since boot): with the pid
    it tells the process apart from a later one with the same number.
    """

    pid: int
    process_start: int
    socket: Path
    log: Path


def connect(environment: Mapping[str, str] = os.environ) -> docker.DockerClient:
    """Return a client of the local Docker engine that answers now.

    Raises DemoError with the reason if none does, or if DOCKER_HOST names an engine on another
    machine: the demonstration shares folders with its container.
    """
    host = environment.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"
    if not host.startswith("unix://"):
        raise DemoError(f"DOCKER_HOST is {host}, an engine on another machine; unset it to use a local one")
    try:
        client = docker.DockerClient(base_url=host, timeout=PING_TIMEOUT_S)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise DemoError(f"no Docker engine answers at {host}: {error}") from error
    client.api.timeout = OPERATION_TIMEOUT_S
    return client


def why_no_engine_can_be_started() -> str | None:
    """Return what keeps us from starting an engine, or None if nothing does."""
    if os.geteuid() != 0:
        return "starting a Docker engine needs root"
    if shutil.which("dockerd") is None:
        return "dockerd is not installed (Debian package docker.io)"
    running = [path for path in _RUNNING_ENGINE_PIDFILES if _names_live_process(path)]
    if running:
        return f"a Docker engine runs already ({running[0]}) but does not answer"
    return None


def start_engine(
    folder: Path,
    socket: Path = DEFAULT_SOCKET,
    arguments: Sequence[str] = (),
    timeout_s: float = START_TIMEOUT_S,
) -> OwnEngine:
    """Start ``dockerd`` in a session of its own and wait until it answers at ``socket``.

    ``folder`` receives dockerd.log; ``arguments`` are added to the command line. Raises DemoError if
    the engine ends or does not answer within ``timeout_s`` seconds; it is ended again in that case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["dockerd", "--host", f"unix://{socket}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = OwnEngine(process.pid, process_start(process.pid), socket, log)
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            connect({"DOCKER_HOST": f"unix://{socket}"}).close()
            return engine
        except DemoError:
            time.sleep(0.5)
    stop_engine(engine)
    tail = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise DemoError(f"dockerd did not answer within {timeout_s:.0f} s: {' '.join(tail)} (log: {log})")


def stop_engine(engine: OwnEngine, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """End an engine that ``start_engine`` started, by its pid; one that is gone already is left alone.

    Raises DemoError if it still runs after ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    if _is_alive(engine):
        os.kill(engine.pid, signal.SIGTERM)
    while _is_alive(engine):
        if time.monotonic() > deadline:
            raise DemoError(
                f"dockerd (pid {engine.pid}) did not end within {timeout_s:.0f} s; see {engine.log}"
            )
        time.sleep(0.2)


def _is_alive(engine: OwnEngine) -> bool:
    try:
        finished, _ = os.waitpid(engine.pid, os.WNOHANG)
        if finished:
            return False
    except ChildProcessError:  # started by another process, or collected before
        pass
    try:
        return process_start(engine.pid) == engine.process_start
    except ProcessLookupError:
        return False


def process_start(pid: int) -> int:
    """Return when a process started, in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)).

    Raises ProcessLookupError if there is no such process.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]  # names may contain spaces
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    return int(after_name.split()[19])


def _names_live_process(pidfile: Path) -> bool:
    try:
        return Path(f"/proc/{int(pidfile.read_text())}").exists()
    except (OSError, ValueError):
        return False
