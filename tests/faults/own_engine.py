"""A Docker engine of the tests' own, which they may stop and kill, with workers that need no image.

Belongs here: that engine, its containers. Does not belong here: the machine's engine, which is others'.

A worker's root is an empty image; the machine's own Python and system folders are mounted into it read-only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from container_scripts.processes import (
    Process,
    ProcessId,
    all_processes,
    end_processes,
    is_alive,
    living_descendants,
    send_signal,
)
from flagrelease_assets.demo.engine import OwnEngine, process_start, start_engine, stop_engine
from flagrelease_assets.demo.progress import DemoError

LABEL = "flagrelease.faults"
IMAGE = "flagrelease-faults:empty"
SYSTEM_FOLDERS = ("/bin", "/lib", "/lib64", "/usr")
PYTHON = f"{sys.base_prefix}/bin/python3"
START_LIMIT_S = 60
CONTAINER_LIFE_S = 3600
START_ATTEMPTS = 3


def why_no_own_engine() -> str | None:
    """Return what keeps us from running an engine of our own, or None."""
    if os.geteuid() != 0:
        return "an engine of the tests' own needs root"
    return None if shutil.which("dockerd") else "dockerd is not installed (Debian package docker.io)"


@dataclass
class FaultyEngine:
    """An engine that can be stopped, killed and started again; its containers live on meanwhile."""

    folder: Path
    _running: OwnEngine | None = None
    _client: docker.DockerClient | None = None
    _made: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/d.sock"

    @property
    def client(self) -> docker.DockerClient:
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.address, timeout=60)
        return self._client

    def start(self) -> None:
        arguments = [
            *("--data-root", f"{self.folder}/data"),
            *("--exec-root", f"{self.folder}/exec"),
            *("--pidfile", f"{self.folder}/d.pid"),
            *("--bridge", "none", "--iptables=false", "--live-restore"),
        ]
        for attempt in range(START_ATTEMPTS):  # on a busy machine containerd may miss dockerd's own limit
            (self.folder / "d.pid").unlink(missing_ok=True)
            try:
                self._running = start_engine(self.folder, self.folder / "d.sock", arguments, START_LIMIT_S)
                return
            except DemoError:
                if attempt == START_ATTEMPTS - 1:
                    raise

    def stop(self) -> None:
        """Stop the engine in order; containers go on."""
        assert self._running is not None
        stop_engine(self._running)

    def kill(self) -> None:
        """End the engine and its containerd as a crash would; containers go on."""
        assert self._running is not None
        pids = [p.id for p in living_descendants(self._running.pid) if p.name.startswith("containerd")]
        containerd = [pid for pid in pids if _is_child_of(pid, self._running.pid)]
        os.kill(self._running.pid, signal.SIGKILL)
        os.waitpid(self._running.pid, 0)
        for identity in containerd:
            send_signal(identity, signal.SIGKILL)
        _wait_until_gone(containerd)
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def run(
        self, shared: Path | None = None, variables: Mapping[str, str] | None = None, **options: Any
    ) -> Container:
        """Run a worker container of a name and label of our own, with ``shared`` under its path here."""
        mounts = {folder: {"bind": folder, "mode": "ro"} for folder in (*SYSTEM_FOLDERS, sys.base_prefix)}
        if shared:
            mounts[str(shared)] = {"bind": str(shared), "mode": "rw"}
        made = self.client.containers.run(
            IMAGE,
            ["sleep", str(CONTAINER_LIFE_S)],
            name=f"flagrelease-faults-{secrets.token_hex(4)}",
            labels={LABEL: "1"},
            detach=True,
            init=True,
            network_mode="none",
            volumes={source: mount for source, mount in mounts.items() if Path(source).exists()},
            environment={"PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin", **(variables or {})},
            **options,
        )
        self._made.append(str(made.id))
        return made

    def remove(self, container: Container) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)

    def load_image(self) -> None:
        archive = BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in ("tmp", "root", "etc", "proc", "dev"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                tar.addfile(entry)
        repository, _, tag = IMAGE.partition(":")
        self.client.api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)

    def clean(self) -> None:
        """Remove the containers and stop the engine; without the first they would outlive the second."""
        try:
            for identity in self._made:
                with contextlib.suppress(docker.errors.NotFound):
                    self.client.containers.get(identity).remove(force=True)
            self.client.close()
        finally:
            self.stop()


@contextmanager
def own_engine() -> Iterator[FaultyEngine]:
    """Run an engine of our own; its folder is short, because socket paths must be."""
    folder = Path(tempfile.mkdtemp(prefix="fr-engine-", dir="/tmp"))
    engine = FaultyEngine(folder)
    try:
        engine.start()
        try:
            engine.load_image()
            yield engine
        finally:
            engine.clean()
    finally:
        _end_all_below(folder)
        _unmount_all_below(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_all_below(folder: Path) -> None:
    """End what names the engine's own folder on its command line (shims of containers), and its children."""

    def ours() -> list[Process]:
        shims = [p for p in all_processes() if p.alive and str(folder) in _command_line(p)]
        return [*shims, *living_descendants(*(shim.id.pid for shim in shims))]

    end_processes(ours, grace_s=1.0)


def _command_line(process: Process) -> str:
    try:
        return Path(f"/proc/{process.id.pid}/cmdline").read_text()
    except OSError:
        return ""


def _unmount_all_below(folder: Path) -> None:
    """Take away the mounts that a killed engine leaves below its folder."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for target in reversed([point for point in mounted if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", target], capture_output=True, check=False)


def _is_child_of(identity: ProcessId, parent: int) -> bool:
    text = Path(f"/proc/{identity.pid}/stat").read_text().rpartition(")")[2]
    return int(text.split()[1]) == parent and process_start(identity.pid) == identity.start_ticks


def _wait_until_gone(identities: list[ProcessId]) -> None:
    end = time.monotonic() + START_LIMIT_S
    while any(map(is_alive, identities)):
        if time.monotonic() > end:
            raise AssertionError("containerd did not die")
        time.sleep(0.1)
