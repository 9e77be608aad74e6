"""A worker on an engine behind SSH: a real SSH server on this machine, host keys verified."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.models.containers import Container

from flagrelease_assets.demo.container import WORKER_PYTHON
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig, WorkerTimeouts
from flagrelease_assets.workers.factory import open_worker
from flagrelease_assets.workers.jobs import JobSpec, run_job
from tests.requirements import cannot_test

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class SshServer:
    """A running SSH server and the client's settings for it."""

    port: int
    known_hosts: Path


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """An SSH server of our own on loopback; the client finds key and known hosts through a config file."""
    missing = [tool for tool in ("ssh", "ssh-keygen", "docker") if not shutil.which(tool)]
    if missing or not Path(SSHD).exists() or os.getuid() != 0:
        cannot_test(f"an SSH server cannot be started here (missing {missing or SSHD}, or not root)")
    host_key, client_key, port = _key(tmp_path / "host"), _key(tmp_path / "client"), _free_port()
    (tmp_path / "authorized").write_text((tmp_path / "client.pub").read_text())
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    _put_ssh_on_path(tmp_path, client_key, known_hosts, monkeypatch)
    Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": str(port),
        "HostKey": str(host_key),
        "AuthorizedKeysFile": str(tmp_path / "authorized"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (tmp_path / "sshd.log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", "/dev/null", *arguments], stderr=log)
        _wait_for(port)
        yield SshServer(port, known_hosts)
        process.terminate()
        process.wait(10)


def _put_ssh_on_path(folder: Path, key: Path, known_hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the SDK an `ssh` that is the real one with this test's identity, not the developer's."""
    config = folder / "ssh_config"
    config.write_text(
        f"IdentityFile {key}\nIdentitiesOnly yes\nUserKnownHostsFile {known_hosts}\n"
        "GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nBatchMode yes\n"
    )
    tools = folder / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    (tools / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the SSH server did not start")


def _config(server: SshServer, container: Container) -> DockerWorkerConfig:
    return DockerWorkerConfig(
        container=str(container.name),
        engine=f"ssh://root@127.0.0.1:{server.port}",
        python=WORKER_PYTHON,
        timeouts=WorkerTimeouts(connect_s=15, reconnect_s=5),
    )


def test_a_job_runs_on_an_engine_behind_ssh(ssh_server: SshServer, worker_container: Container) -> None:
    spec = JobSpec(
        run_id="ssh",
        step="test",
        name="environment",
        program="collect_env_info",
        arguments=("--vendor", "cpu"),
        deadline_s=60,
        idle_s=60,
    )
    with open_worker(_config(ssh_server, worker_container)) as worker:
        outcome = run_job(worker, spec)
    assert outcome.completed
    assert outcome.result is not None
    assert outcome.result["vendor"] == "cpu"


def test_a_host_whose_key_is_not_known_is_refused(ssh_server: SshServer, worker_container: Container) -> None:
    ssh_server.known_hosts.write_text("")
    with pytest.raises(WorkerError) as caught, open_worker(_config(ssh_server, worker_container)) as worker:
        worker.identity()
    assert caught.value.category in (WorkerProblem.ENGINE_UNREACHABLE, WorkerProblem.TIMEOUT)
