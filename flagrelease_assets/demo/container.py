"""Runs the container that is the demonstration's worker.

Belongs here: creating, reusing and removing containers that carry our label.
Does not belong here: what runs inside (the worker protocol does that), or any container of others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from flagrelease_assets.demo.package_access import BindMount, PackageAccess
from flagrelease_assets.demo.progress import DemoError, Progress

OWNER_LABEL = "flagrelease.owner"
DIGEST_LABEL = "flagrelease.digest"
CACHE_VOLUME = "flagrelease-pip-cache"
CACHE_TARGET = "/var/cache/flagrelease-pip"
WORKER_PYTHON = "/opt/worker/bin/python3"
SHM_SIZE = "2g"
"""vLLM's CPU engine wants 160 MiB and more of /dev/shm; Docker's default is 64 MiB."""


@dataclass(frozen=True)
class ContainerSpec:
    """A worker container: what it is made from decides whether a running one can be reused.

    ``owner`` says who may remove it (``demo`` or a test session); ``image`` is an image id.
    """

    name: str
    owner: str
    image: str
    mounts: tuple[BindMount, ...]
    environment: Mapping[str, str]
    host_network: bool = False

    @property
    def digest(self) -> str:
        """Return a digest of every property: equal digests mean an interchangeable container."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def worker_spec(name: str, owner: str, image: str, models_root: Path, access: PackageAccess) -> ContainerSpec:
    """Return the worker container that sees ``models_root`` at its own path and installs as the host does."""
    models = BindMount(models_root, str(models_root), read_only=False)
    environment = {**access.environment, "PIP_CACHE_DIR": CACHE_TARGET, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return ContainerSpec(name, owner, image, (models, *access.mounts), environment, access.host_network)


def ensure_container(client: docker.DockerClient, spec: ContainerSpec, progress: Progress) -> Container:
    """Return the running container of ``spec``: the one that is there, if it was made alike, or a new one.

    One of ours that was made differently is replaced. Raises DemoError if the name belongs to a
    container that we did not make, or if the engine refuses.
    """
    try:
        existing = _find(client, spec.name)
        if existing and existing.labels.get(DIGEST_LABEL) == spec.digest:
            existing.start()
            progress(f"Using the container {spec.name}, which is there already")
            return existing
        if existing:
            progress(f"Replacing the container {spec.name}, which was made from something else")
            remove_container(client, spec.name, spec.owner)
        created = _run(client, spec)
    except (DockerException, requests.RequestException) as error:
        raise DemoError(f"cannot run the container {spec.name}: {error}") from error
    progress(f"Started the container {spec.name}")
    return created


def remove_container(client: docker.DockerClient, name: str, owner: str) -> None:
    """End and remove the container ``name`` if it is there.

    Raises DemoError if it does not carry the label of ``owner``: it is not ours to remove.
    """
    existing = _find(client, name)
    if existing is None:
        return
    if existing.labels.get(OWNER_LABEL) != owner:
        raise DemoError(f"the container {name} is not ours ({OWNER_LABEL}={owner}); rename or remove it")
    existing.remove(force=True)


def _find(client: docker.DockerClient, name: str) -> Container | None:
    try:
        return client.containers.get(name)
    except NotFound:
        return None


def _run(client: docker.DockerClient, spec: ContainerSpec) -> Container:
    volumes = {
        str(mount.source): {"bind": mount.target, "mode": "ro" if mount.read_only else "rw"}
        for mount in spec.mounts
    }
    volumes[CACHE_VOLUME] = {"bind": CACHE_TARGET, "mode": "rw"}
    return client.containers.run(
        spec.image,
        ["sleep", "infinity"],
        name=spec.name,
        detach=True,
        environment=dict(spec.environment),
        volumes=volumes,
        labels={OWNER_LABEL: spec.owner, DIGEST_LABEL: spec.digest},
        network_mode="host" if spec.host_network else "bridge",
        shm_size=SHM_SIZE,
        init=True,  # reaps what the supervisor leaves to process 1
    )
