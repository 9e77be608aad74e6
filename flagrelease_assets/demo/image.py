"""Builds the image of the demonstration's worker.

Belongs here: choosing and getting a base image, building deploy/worker/Dockerfile on it.
Does not belong here: running a container of it (container.py), or installing vLLM into it, which is
the release pipeline's own first step.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from container_scripts.commands import run_command
from flagrelease_assets.demo.package_access import PackageAccess
from flagrelease_assets.demo.progress import DemoError, Progress

WORKER_IMAGE = "flagrelease-worker:latest"
LOCAL_BASE = "flagrelease-base:bookworm"
PULLED_BASE = "python:3.11-slim-bookworm"
WORKER_FOLDER = Path(__file__).parents[2] / "deploy" / "worker"

BOOTSTRAP_SUITE = "bookworm"
BOOTSTRAP_PACKAGES = (
    "python3",
    "python3-pip",
    "python3-venv",
    "procps",
    "ca-certificates",
    "libnuma1",
    "libgomp1",
)
BOOTSTRAP_TIMEOUT_S = 900


@dataclass(frozen=True)
class Base:
    """One way to have a base image: it is here (``local``), is pulled, or is made by debootstrap."""

    how: Literal["local", "pull", "debootstrap"]
    image: str


def base_candidates(given: str | None, local_images: Iterable[str], can_bootstrap: bool) -> list[Base]:
    """Return the ways to have a base image, the one to try first at the head.

    A name that the user gave is used or fails: nothing else takes its place. ``local_images`` are the
    tags this engine holds.
    """
    present = frozenset(local_images)
    if given:
        return [Base("local" if given in present else "pull", given)]
    for image in (LOCAL_BASE, PULLED_BASE):
        if image in present:
            return [Base("local", image)]
    made = [Base("debootstrap", LOCAL_BASE)] if can_bootstrap else []
    return [Base("pull", PULLED_BASE), *made]


def build_worker_image(
    client: docker.DockerClient,
    access: PackageAccess,
    progress: Progress,
    base: str | None = None,
    tag: str = WORKER_IMAGE,
) -> str:
    """Build the worker's image under ``tag`` and return its id; unchanged parts come from the cache.

    ``base`` names the base image; without it one is chosen. Raises DemoError if no base image can be
    had or the build fails.
    """
    base_image = _ensure_base(client, base, progress)
    progress(f"Building the worker image {tag} on {base_image}")
    with tempfile.TemporaryDirectory(prefix="flagrelease-image-") as context:
        shutil.copy(WORKER_FOLDER / "Dockerfile", context)
        if access.ca_bundle:
            shutil.copy(access.ca_bundle, Path(context) / "ca-bundle.pem")
        try:
            events = client.api.build(
                path=context,
                tag=tag,
                buildargs={"BASE": base_image, **access.proxies},
                network_mode="host" if access.host_network else None,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(events, progress, f"building {tag} on {base_image}")
            image_id = client.images.get(tag).id
        except (DockerException, requests.RequestException) as error:
            raise DemoError(f"building {tag} on {base_image} failed: {error}") from error
    progress(f"The worker image is ready: {image_id}")
    return str(image_id)


def _ensure_base(client: docker.DockerClient, given: str | None, progress: Progress) -> str:
    local_images = {tag for image in client.images.list() for tag in image.tags}
    if given and _is_present(client, given):
        local_images.add(given)
    can_bootstrap = os.geteuid() == 0 and shutil.which("debootstrap") is not None
    problems = []
    for base in base_candidates(given, local_images, can_bootstrap):
        try:
            if base.how == "pull":
                _pull(client, base.image, progress)
            elif base.how == "debootstrap":
                _bootstrap(client, base.image, progress)
            return base.image
        except DemoError as error:
            progress(str(error))
            problems.append(str(error))
    advice = (
        "load an image with Python into the engine and name it, or run as root with debootstrap installed"
    )
    raise DemoError(f"no base image for the worker: {'; '.join(problems)}; {advice}")


def _is_present(client: docker.DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _pull(client: docker.DockerClient, image: str, progress: Progress) -> None:
    progress(f"Pulling the base image {image}")
    name, colon, tag = image.rpartition(":")
    repository, tag = (name, tag) if colon and "/" not in tag else (image, "latest")
    try:
        _follow(client.api.pull(repository, tag=tag, stream=True, decode=True), progress, f"pulling {image}")
    except (DockerException, requests.RequestException) as error:
        raise DemoError(f"pulling {image} failed: {error}") from error


def _bootstrap(client: docker.DockerClient, image: str, progress: Progress) -> None:
    progress(f"Making the base image {image} with debootstrap (about a minute)")
    with tempfile.TemporaryDirectory(prefix="flagrelease-base-") as work:
        root, archive = Path(work) / "root", Path(work) / "root.tar"
        packages = ",".join(BOOTSTRAP_PACKAGES)
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={packages}", BOOTSTRAP_SUITE, str(root)]
        for command in (bootstrap, ["tar", "-C", str(root), "-cf", str(archive), "."]):
            finished = run_command(command, BOOTSTRAP_TIMEOUT_S)
            if not finished.succeeded:
                reason = "took too long" if finished.timed_out else finished.output.strip()[-500:]
                raise DemoError(f"{command[0]} failed: {reason}")
        repository, _, tag = image.partition(":")
        client.api.import_image_from_file(str(archive), repository=repository, tag=tag)


def _follow(events: Iterable[Mapping[str, Any]], progress: Progress, action: str) -> None:
    """Pass the engine's messages on; raise DemoError if one of them is an error."""
    for event in events:
        if "error" in event:
            raise DemoError(f"{action} failed: {event['error'].strip()}")
        if event.get("progressDetail"):
            continue
        line = str(event.get("stream") or event.get("status") or "").strip()
        if line:
            progress(line)
