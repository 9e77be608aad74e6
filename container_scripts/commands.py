"""Run one command with a deadline, its output kept and, if wanted, shown live.

Belongs here: starting a child, ending it with everything it started, what is remembered of it.
Does not belong here: what any command's output means.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

from container_scripts import processes

GRACE_SECONDS = 5.0
ENDING_LIMIT_S = GRACE_SECONDS + processes.KILL_LIMIT_S
"""How long after its time limit a command may take to be gone."""

KEPT_CHARACTERS = 200_000
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Completed:
    """What is known of a command that ended; ``code`` is None when it could not be started.

    ``code`` is negative for a death by signal, as in ``subprocess``; ``output`` is the end of
    standard output and standard error together.
    """

    argv: Tuple[str, ...]
    code: Optional[int]
    seconds: float
    output: str
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """Say whether the command ended by itself with code 0."""
        return self.code == 0 and not self.timed_out


def run_command(
    argv: Sequence[str],
    timeout_s: float,
    cwd: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    echo: bool = False,
) -> Completed:
    """Run ``argv`` for at most ``timeout_s`` seconds; with ``echo`` its output also goes to standard error.

    ``env`` is added to the environment. A command that cannot be started is a Completed without code.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        return Completed(tuple(argv), None, 0.0, f"cannot start {argv[0]}: {error}")
    try:
        output, timed_out = _follow(process, started + timeout_s, echo)
    finally:
        _end_session(process)
        if process.stdout:
            process.stdout.close()
    seconds = round(time.monotonic() - started, 3)
    return Completed(tuple(argv), process.returncode, seconds, output, timed_out)


def _follow(process: subprocess.Popen[bytes], deadline: float, echo: bool) -> Tuple[str, bool]:
    """Read until the command ends or the deadline passes; a grandchild holding the pipe delays nobody."""
    assert process.stdout is not None
    kept, exited = b"", False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return kept.decode("utf-8", "replace"), True
            if selector.select(0.0 if exited else min(remaining, 0.2)):
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                kept = (kept + chunk)[-KEPT_CHARACTERS:]
                if echo:
                    sys.stderr.write(chunk.decode("utf-8", "replace"))
                    sys.stderr.flush()
            elif exited:
                break
            exited = processes.has_ended(process.pid)
    while not processes.has_ended(process.pid):  # it closed its output and goes on
        if time.monotonic() >= deadline:
            return kept.decode("utf-8", "replace"), True
        time.sleep(_PAUSE_S)
    return kept.decode("utf-8", "replace"), False


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it left in its session, and only then reap it: its pid names them."""
    processes.end_processes(lambda: processes.living_in_session(process.pid), GRACE_SECONDS)
    process.wait()
