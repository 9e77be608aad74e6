"""A vLLM server that this program started: start, readiness, stop, and proof that nothing of it is left.

Belongs here: the life of one server process tree.
Does not belong here: judging its answers, benchmarking it, or servers started by somebody else.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any, Dict, List, Optional, Sequence, Set

from container_scripts import engine_flags, processes, server_config, server_log
from container_scripts.document import RUN_TOKEN_VARIABLE
from container_scripts.openai_client import OpenAIClient

HOST = "127.0.0.1"
POLL_S = 0.5
DEFAULT_HEALTH_TIMEOUT_S = 300.0
DEFAULT_STOP_GRACE_S = 30.0
PORT_CLOSING_LIMIT_S = 10.0
LAST_BREATH_S = 10.0
"""How long a server that no longer answers is given to end by itself."""
LOG_READ_LIMIT = 4_000_000


class ServerFailure(Exception):
    """The server cannot be used: ``stage`` says how far it came, ``category`` a cause known already."""

    def __init__(self, stage: str, message: str, category: Optional[str] = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.category = category


class Terminated(Exception):
    """This program was told to end (SIGTERM)."""


@dataclass(frozen=True)
class ServerSettings:
    """What to start: the whole `vllm serve` command but for the port, and where its log goes."""

    model: str
    served_name: str
    port: int
    log_path: str
    arguments: Sequence[str] = ()

    def command(self, port: int) -> List[str]:
        """Return the argv of the server."""
        return [
            *(sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", self.model),
            *("--host", HOST, "--port", str(port), "--served-model-name", self.served_name),
            *self.arguments,
        ]


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every program that starts a server."""
    engine_flags.add_engine_flags(parser)
    parser.add_argument(
        "--port", type=int, default=0, help="port on 127.0.0.1; 0 (the default) takes a free one"
    )
    parser.add_argument(
        "--served-name", help="model id that the server answers to (default: one of this run alone)"
    )
    parser.add_argument(
        "--health-timeout",
        type=float,
        default=DEFAULT_HEALTH_TIMEOUT_S,
        metavar="S",
        help="limit of the start",
    )
    parser.add_argument(
        "--stop-grace", type=float, default=DEFAULT_STOP_GRACE_S, metavar="S", help="between TERM and KILL"
    )
    parser.add_argument("--log", metavar="FILE", help="log of the server (default: <output>.server.log)")
    parser.add_argument(
        "--extra-arg", action="append", default=[], metavar="ARG", help="one more argument of `vllm serve`"
    )


def settings_from(arguments: argparse.Namespace) -> ServerSettings:
    """Return the server settings that the flags say."""
    token = os.environ.get(RUN_TOKEN_VARIABLE) or str(os.getpid())
    return ServerSettings(
        model=arguments.model,
        served_name=arguments.served_name or f"flagrelease-{token}",
        port=arguments.port,
        log_path=os.path.abspath(arguments.log or f"{arguments.output or 'vllm'}.server.log"),
        arguments=(*engine_flags.serve_arguments(arguments), *arguments.extra_arg),
    )


class VllmServer:
    """One server, in its own session, logging to a file that is emptied at the start."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self.command: List[str] = []
        self.startup_s: Optional[float] = None
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._members: Set[processes.ProcessId] = set()

    @property
    def pid(self) -> Optional[int]:
        """The pid of the API server, None before the start."""
        return self._process.pid if self._process else None

    @property
    def client(self) -> OpenAIClient:
        """A client for this server."""
        return OpenAIClient(HOST, self.port)

    def start(self) -> None:
        """Start the server.

        Raises ServerFailure with category ``port_in_use`` if anything listens on the port already.
        """
        self.port = self.settings.port or _free_port()
        if _accepts(self.port):
            message = f"port_in_use: {HOST}:{self.port} is answered by a process that this run did not start"
            raise ServerFailure("port", message, "port_in_use")
        self.command = self.settings.command(self.port)
        os.makedirs(os.path.dirname(self.settings.log_path), exist_ok=True)
        with open(self.settings.log_path, "wb") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> Optional[int]:
        """Return the exit code (negative: the signal), None while the server runs.

        Once the server is reaped its pid may become another's, so its tree is remembered before.
        """
        process = self._process
        if process is None:
            return None
        if process.returncode is None and processes.has_ended(process.pid):
            self.members()
            process.poll()
        return process.returncode

    def wait_for_exit(self, limit_s: float) -> None:
        """Give a server that no longer answers the time to end by itself, so that its exit code is known."""
        limit = time.monotonic() + limit_s
        while self._process is not None and self.exit_code() is None and time.monotonic() < limit:
            time.sleep(POLL_S)

    def ensure_alive(self, stage: str, *, proven_ready: bool = True) -> None:
        """Raise ServerFailure if the server has ended; code 0 of a server that should run is a crash too.

        One that said it was ready and ended before it had answered anything (``proven_ready`` is false)
        was falsely ready.
        """
        code = self.exit_code()
        if code is not None:
            manner = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            log = self.log_text()
            said = f"the server {manner} by itself; its log says: {server_log.root_error_line(log)}"
            if not proven_ready and server_log.SAID_READY in log:
                raise ServerFailure(stage, f"false_ready: {said}", "false_ready")
            raise ServerFailure(stage, said)

    def wait_until_healthy(self, timeout_s: float) -> Dict[str, Any]:
        """Wait until the living server answers /health with 200 and serves the expected model.

        Returns ``{health_status, models, max_model_len}``; raises ServerFailure, with stage ``health``
        or ``models``, when the server ends or the time is over.
        """
        clock = time.monotonic()
        health: Optional[int] = None
        stage = "health"
        ids: List[str] = []
        while time.monotonic() - clock < timeout_s:
            self.ensure_alive("start" if health is None else stage, proven_ready=False)
            self.members()
            health = self.client.health().status or health
            if health == 200:
                stage = "models"
                ids, first = self.client.models()
                if self.settings.served_name in ids:
                    self.startup_s = round(time.monotonic() - clock, 3)
                    return {
                        "health_status": health,
                        "models": ids,
                        "max_model_len": first.get("max_model_len"),
                    }
                if ids:
                    break
            time.sleep(POLL_S)
        if stage == "models":
            raise ServerFailure(stage, f"the server lists {ids} instead of {self.settings.served_name!r}")
        last = "no answer" if health is None else f"status {health}"
        raise ServerFailure(stage, f"not healthy within {timeout_s:.0f} s (/health: {last})", "timeout")

    def members(self) -> List[processes.Process]:
        """Return the living processes of the server's session and below, and remember them."""
        if self._process is None:
            return []
        session = self._process.pid
        living = [process for process in processes.all_processes() if process.alive]
        roots = [process for process in living if process.id in self._members]
        unreaped = self._process.returncode is None
        if unreaped or any(processes.session_of(process) == session for process in roots):
            roots += processes.living_in_session(session)
        below = processes.living_descendants(*(process.id.pid for process in roots))
        found = {process.id: process for process in [*roots, *below]}
        self._members.update(found)
        return list(found.values())

    def stop(self, grace_s: float = DEFAULT_STOP_GRACE_S) -> Dict[str, Any]:
        """End the whole tree: TERM, ``grace_s`` seconds, KILL; say what is left of it and of the port.

        Returns ``{signal_used, orphans, port_closed, seconds}``; ``signal_used`` is None if all had
        ended before, and ``orphans`` are the pids that nothing could end.
        """
        clock = time.monotonic()
        if self._process is None:
            return {"signal_used": None, "orphans": [], "port_closed": None, "seconds": 0.0}
        ending = processes.end_processes(self.members, grace_s, reap=self._reap)
        used = {ended.signal for ended in ending.terminated} | ({"KILL"} if ending.survivors else set())
        limit = time.monotonic() + PORT_CLOSING_LIMIT_S
        while _accepts(self.port) and time.monotonic() < limit:
            time.sleep(POLL_S)
        return {
            "signal_used": "KILL" if "KILL" in used else "TERM" if used else None,
            "orphans": sorted(survivor.id.pid for survivor in ending.survivors),
            "port_closed": not _accepts(self.port),
            "seconds": round(time.monotonic() - clock, 3),
        }

    def _reap(self) -> None:
        self.exit_code()

    def log_text(self) -> str:
        """Return the log from its start (at most 4 MB of it: root causes come early)."""
        try:
            with open(self.settings.log_path, "rb") as log:
                return log.read(LOG_READ_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        try:
            with open(self.settings.log_path, "rb") as log:
                log.seek(max(0, os.path.getsize(self.settings.log_path) - 100_000))
                return server_log.tail(log.read().decode("utf-8", "replace"))
        except OSError:
            return ""

    def describe(self) -> Dict[str, Any]:
        """Return what a document says of the server apart from how it ended."""
        log = self.log_text()
        return {
            "port": self.port,
            "pid": self.pid,
            "command": self.command,
            "startup_s": self.startup_s,
            "log_path": self.settings.log_path,
            "log_tail": self.log_tail(),
            "server_config": server_log.configuration_lines(log),
            "effective_config": server_config.effective_config(log),
        }


def exit_document(code: Optional[int]) -> Dict[str, Optional[int]]:
    """Split a code of subprocess into ``{code, signal}``."""
    if code is None:
        return {"code": None, "signal": None}
    return {"code": None, "signal": -code} if code < 0 else {"code": code, "signal": None}


def raise_on_sigterm() -> None:
    """Turn SIGTERM into an exception, so that whoever started a server gets to stop it."""

    def handle(number: int, frame: Optional[FrameType]) -> None:
        raise Terminated("this program was told to end (SIGTERM)")

    signal.signal(signal.SIGTERM, handle)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    """Say whether anything listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) == 0
