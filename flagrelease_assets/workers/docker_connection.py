"""The connection to a Docker engine: encrypted and authenticated, or on this machine, and never otherwise.

Belongs here: how a client is made of the configuration or of the environment, what it may not do, its end.
Does not belong here: requests to the engine (`docker.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import requests
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig, TlsConfig

_PRIVATE_SCHEMES = ("unix://", "ssh://", "/")
"""Addresses of this machine's sockets, and those for which ssh sees to encryption and host keys."""


def connect(config: DockerWorkerConfig, timeout_s: int) -> docker.DockerClient:
    """Return a client of the configured engine, or of the one that the environment names.

    SSH is the system's own program, with its known hosts. Raises WorkerError for an engine of the environment
    that would be reached over the network without encryption, or without verifying who it is.
    """
    if config.engine is None:
        _refuse_unverified()
        return docker.from_env(timeout=timeout_s, use_ssh_client=True)
    return docker.DockerClient(
        base_url=config.engine,
        timeout=timeout_s,
        tls=_tls(config.tls) if config.tls else False,
        use_ssh_client=config.engine.startswith("ssh://"),
    )


@contextmanager
def closed_afterwards(client: docker.DockerClient) -> Iterator[None]:
    """Close the connection of each answer that this thread gets meanwhile.

    The library leaves that of a command's stream to the garbage collector, which may come very late.
    """
    mine = threading.get_ident()
    answers: list[requests.Response] = []

    def keep(answer: requests.Response, *_: Any, **__: Any) -> None:
        if threading.get_ident() == mine:
            answers.append(answer)

    hooks = client.api.hooks["response"]
    hooks.append(keep)
    try:
        yield
    finally:
        hooks.remove(keep)
        for answer in answers:
            answer.close()


def _refuse_unverified() -> None:
    settings = kwargs_from_env()
    address = settings.get("base_url") or "unix://"
    tls = settings.get("tls")
    if not address.startswith(_PRIVATE_SCHEMES) and not (tls and tls.verify):
        raise WorkerError(
            WorkerProblem.ENGINE_UNREACHABLE,
            f"DOCKER_HOST names {address}, but the environment does not have it verified",
            "set `engine` and `tls` of the worker, or DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
        )


def _tls(config: TlsConfig) -> TLSConfig:
    pair = (str(config.client_cert), str(config.client_key)) if config.client_cert else None
    kind = _OwnAuthority if config.ca_cert else TLSConfig
    return kind(client_cert=pair, ca_cert=str(config.ca_cert) if config.ca_cert else None, verify=True)


class _OwnAuthority(TLSConfig):
    """TLS with the configured authority alone: a CA bundle in the environment would win over it."""

    def configure_client(self, client: docker.APIClient) -> None:
        """Set up the connection, deaf to the environment's certificates and proxies."""
        super().configure_client(client)
        client.trust_env = False
