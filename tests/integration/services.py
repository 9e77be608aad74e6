"""Real services for tests that need them: a $DAGSTER_HOME, a daemon with its queue, a webserver.

Everything runs the project's own definitions with programs that answer at once, and is ended by pid.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.instant_scripts import FULL_STACK, make_instant_scripts

PROJECT = Path(__file__).parents[2]
VENDORS = ("cpu", "nvidia")
MODELS = ("org--a", "org--b", "org--c")


@pytest.fixture
def worker_place() -> dict[str, Any]:
    """Where the workers are: their keys in the deployment file, beside their folders."""
    return {"kind": "local"}


@pytest.fixture
def environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker_place: dict[str, Any]
) -> dict[str, str]:
    """A $DAGSTER_HOME with the project's dagster.yaml, a deployment of two workers, and a workspace."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    deployment: dict[str, Any] = {
        "results": "results",
        "workers": {
            vendor: {
                **worker_place,
                "work_root": str(tmp_path / f"worker-{vendor}"),
                "lock_root": str(tmp_path / "locks"),
            }
            for vendor in VENDORS
        },
        "models": [
            {"id": key.replace("--", "/"), "source": "folder", "path": f"/models/{key}"} for key in MODELS
        ],
    }
    (tmp_path / "flagrelease.yaml").write_text(yaml.safe_dump(deployment))
    here = str(Path(__file__).parent / "daemon_workspace.py")
    workspace = {"load_from": [{"python_file": {"relative_path": here, "location_name": "flagrelease"}}]}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    variables = {
        "DAGSTER_HOME": str(home),
        "DAEMON_TEST_DEPLOYMENT": str(tmp_path / "flagrelease.yaml"),
        "DAEMON_TEST_SCRIPTS": str(make_instant_scripts(tmp_path, FULL_STACK)),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **variables}


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """A running daemon; gives the folder of its workspace and log."""
    command = [tool("dagster-daemon"), "run", "-w", str(tmp_path / "workspace.yaml")]
    with service(command, environment, tmp_path / "daemon.log"):
        yield tmp_path


@pytest.fixture
def webserver(environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """A running webserver; gives its port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        tool("dagster-webserver"),
        *("-w", str(tmp_path / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)),
    ]
    with service(command, environment, tmp_path / "webserver.log"):
        _wait_for(port, tmp_path / "webserver.log")
        yield port


@contextmanager
def service(command: list[str], environment: dict[str, str], log_file: Path) -> Iterator[None]:
    """Run a service in a session of its own, and end that session by its own pid."""
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        yield
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(port: int, log_file: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"the webserver did not start:\n{log_file.read_text()[-4000:]}")


def tool(name: str) -> str:
    """Return a program of this environment."""
    return str(Path(sys.executable).with_name(name))
