"""Device memory and ports: a job starts on free devices, leaves them free, or it is said that it does not."""

from __future__ import annotations

import gc
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from flagrelease_assets.assets.release import clean_hands
from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import Status
from tests.doubles import vllm_on_path
from tests.doubles.instant_scripts import FULL_STACK
from tests.faults.machinery import WORKER_KINDS, Place, assert_clean, make_breakable, sabotage
from tests.integration.rig import Rig

SMI = """#!/bin/sh
[ "$1" = --query-gpu=index,memory.used ] && cat {levels}
"""


class Devices:
    """A double of nvidia-smi for one query: it tells what its test says of the devices' memory."""

    def __init__(self, folder: Path) -> None:
        self.levels = folder / "levels"
        self.folder = folder / "bin"
        self.folder.mkdir()
        program = self.folder / "nvidia-smi"
        program.write_text(SMI.format(levels=self.levels))
        program.chmod(0o755)

    def show(self, *used_mb: int) -> None:
        self.levels.write_text("".join(f"{index}, {used}\n" for index, used in enumerate(used_mb)))


@pytest.fixture(scope="module", params=WORKER_KINDS)
def machine(
    request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rig, Devices]]:
    """An installation with one clean release on two devices, whose Run A the tests repeat."""
    folder = tmp_path_factory.mktemp("machine")
    with dg.DagsterInstance.ephemeral() as instance, place(request.param, folder) as where:
        devices = Devices(folder)
        devices.show(100, 200)
        rig = Rig(folder, instance, place=where)
        path = {"PATH": f"{devices.folder}:{os.environ['PATH']}"}
        rig.workers = {"nvidia": {**rig.new_worker("nvidia"), "timeouts": {"busy_s": 1}, "environment": path}}
        rig.answer(FULL_STACK)
        make_breakable(rig, "run_offline_inference")
        assert rig.run(job="verify", vendor="nvidia").success
        yield rig, devices


@pytest.fixture
def repeat(machine: tuple[Rig, Devices], monkeypatch: pytest.MonkeyPatch) -> tuple[Rig, Devices]:
    rig, devices = machine
    monkeypatch.setattr(clean_hands, "RELEASE_LIMIT_S", 2.0)
    devices.show(100, 200)
    return rig, devices


def run_a(rig: Rig) -> ModelRun:
    rig.materialize("run_a_result", vendor="nvidia", force=True)
    return rig.document(ModelRun, "run_a_result", vendor="nvidia")


def leave(devices: Devices, *used_mb: int) -> str:
    lines = "".join(f"{index}, {used}\n" for index, used in enumerate(used_mb))
    return f"pathlib.Path({str(devices.levels)!r}).write_text({lines!r})"


def test_memory_that_is_free_again_is_recorded_with_both_levels(repeat: tuple[Rig, Devices]) -> None:
    rig, devices = repeat
    sabotage(rig, "run_offline_inference", "run_a_result", leave(devices, 100, 220))
    document = run_a(rig)
    assert document.status == Status.PASS
    traces = document.jobs[0].devices
    assert traces is not None
    assert (traces.before_mb, traces.after_mb) == ({"0": 100, "1": 200}, {"0": 100, "1": 220})
    assert (traces.freed, traces.reason) == (True, None)


def test_memory_that_a_job_does_not_free_is_recorded_and_the_next_job_fails_as_busy(
    repeat: tuple[Rig, Devices],
) -> None:
    rig, devices = repeat
    sabotage(rig, "run_offline_inference", "run_a_result", leave(devices, 100, 70_000))
    document = run_a(rig)
    assert document.status == Status.FAIL
    (offline,) = document.jobs
    assert offline.devices is not None
    assert offline.devices.freed is False
    assert offline.devices.reason is not None
    assert re.search(r"not freed after \d+ s: 70000 MiB on device 1 \(200 before\)", offline.devices.reason)
    (error,) = document.errors
    assert (error.layer, error.category, error.retryable) == ("X", "device_busy", True)
    assert "serve cannot start" in error.cause and "nothing is ended that is not of this run" in error.cause
    assert_clean(rig)


def test_memory_that_comes_back_a_moment_later_is_waited_for(repeat: tuple[Rig, Devices]) -> None:
    rig, devices = repeat
    slow = f"""
if os.fork() == 0:
    os.setsid()
    time.sleep(0.4)
    {leave(devices, 100, 200)}
    os._exit(0)
{leave(devices, 100, 70_000)}
"""
    sabotage(rig, "run_offline_inference", "run_a_result", slow)
    document = run_a(rig)
    assert document.status == Status.PASS
    assert document.jobs[0].devices is not None and document.jobs[0].devices.freed is True


def test_a_tool_that_does_not_tell_makes_no_release_fail_and_is_said(repeat: tuple[Rig, Devices]) -> None:
    rig, devices = repeat
    devices.levels.write_text("Unable to determine the device handle: GPU is lost\n")
    sabotage(rig, "run_offline_inference", "run_a_result", "pass")
    document = run_a(rig)
    assert document.status == Status.PASS
    traces = document.jobs[0].devices
    assert traces is not None and traces.freed is None
    assert traces.reason == "nvidia-smi does not tell the used memory"


def test_on_a_cpu_there_is_no_device_memory_and_the_record_says_so(rig: Rig) -> None:
    rig.run(job="verify")
    (offline, serve) = rig.document(ModelRun, "run_a_result").jobs
    for job in (offline, serve):
        assert job.devices is not None and job.devices.freed is None
        assert job.devices.reason == "not applicable: no tool of cpu is known that tells the used memory"


def test_a_port_that_a_stale_server_answers_is_refused_and_that_server_lives_on(tmp_path: Path) -> None:
    with socket.socket() as stale:
        stale.bind(("127.0.0.1", 0))
        stale.listen()
        port = str(stale.getsockname()[1])
        flags = ("--model", "m", "--health-timeout", "20", "--request-timeout", "20", "--stop-grace", "5")
        code, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *flags, "--port", port)
        assert (code, document["status"], document["category"]) == (1, "FAIL", "port_in_use")
        assert "is answered by a process that this run did not start" in document["error"]
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) == 0, "the stale server was touched"


def test_a_release_leaves_no_connection_to_its_worker_open(rig: Rig) -> None:
    """Without the garbage collector, which would close what was forgotten, but nobody knows when."""
    rig.run(job="install")
    gc.collect()
    before = open_sockets()
    gc.disable()
    try:
        assert rig.run(job="install", force=True).success
        assert open_sockets() <= before
    finally:
        gc.enable()


def open_sockets() -> int:
    targets = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(target.startswith("socket:") for target in targets)
