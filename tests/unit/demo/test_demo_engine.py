"""Tests of finding and ending a Docker engine, without one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flagrelease_assets.demo.engine import OwnEngine, connect, process_start, stop_engine
from flagrelease_assets.demo.progress import DemoError


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def engine_of(process: subprocess.Popen[bytes], folder: Path) -> OwnEngine:
    return OwnEngine(process.pid, process_start(process.pid), folder / "docker.sock", folder / "dockerd.log")


def test_own_engine_is_ended(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    stop_engine(engine_of(process, tmp_path))
    with pytest.raises(ProcessLookupError):
        process_start(process.pid)


def test_later_process_with_the_same_pid_is_left_alone(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    engine = engine_of(process, tmp_path)
    stop_engine(replace(engine, process_start=engine.process_start - 1))
    assert process.poll() is None


def test_missing_engine_is_said_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=f"no Docker engine answers at unix://{tmp_path}/none.sock"):
        connect({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})


def test_engine_on_another_machine_cannot_share_folders() -> None:
    with pytest.raises(DemoError, match="another machine"):
        connect({"DOCKER_HOST": "ssh://user@gpu.test"})
