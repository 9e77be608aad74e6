"""Runs programs and servers of container_scripts with the vLLM double on their path.

Belongs here: starting programs for tests. Does not belong here: what a test expects.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from container_scripts.vllm_server import ServerSettings, VllmServer

Start = Callable[[str], VllmServer]

PROJECT = Path(__file__).parents[2]
DOUBLE = Path(__file__).parent / "vllm_double"


def environment(mode: str = "healthy", **more: str) -> dict[str, str]:
    """Return an environment in which `import vllm` finds the double in ``mode``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "FLAGGEMS_"))}
    path = os.pathsep.join([str(DOUBLE), str(PROJECT)])
    return {**kept, "PYTHONPATH": path, "VLLM_PLUGINS": "", "VLLM_DOUBLE_MODE": mode, **more}


def run(
    program: str, output: Path, *flags: str, mode: str = "healthy", **more: str
) -> tuple[int, dict[str, Any]]:
    """Run a program to its end; return its exit code and its document."""
    script = PROJECT / "container_scripts" / f"{program}.py"
    finished = subprocess.run(
        [sys.executable, str(script), "--output", str(output), *flags],
        env=environment(mode, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert output.exists(), finished.stdout + finished.stderr
    return finished.returncode, json.loads(output.read_text())


@contextmanager
def servers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Give a function that starts a server of the double in a mode; all are stopped afterwards."""
    started: list[VllmServer] = []

    def start(mode: str) -> VllmServer:
        for name, value in environment(mode).items():
            monkeypatch.setenv(name, value)
        log = folder / f"{len(started)}.log"
        server = VllmServer(ServerSettings("m", "served", 0, str(log), ["--max-model-len", "2048"]))
        started.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.stop(1)
