"""Worker configurations are refused with a reason before anything is contacted."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig, WorkerConfig
from flagrelease_assets.workers.docker import DockerWorker
from flagrelease_assets.workers.factory import open_worker
from flagrelease_assets.workers.local import LocalWorker

ADAPTER: TypeAdapter[DockerWorkerConfig | LocalWorkerConfig] = TypeAdapter(WorkerConfig)


def test_kind_decides_which_worker_opens_and_opening_contacts_nothing() -> None:
    docker = ADAPTER.validate_python(
        {"kind": "docker", "container": "c", "engine": "ssh://nobody@nowhere.invalid"}
    )
    assert isinstance(open_worker(docker), DockerWorker)
    assert isinstance(open_worker(ADAPTER.validate_python({"kind": "local"})), LocalWorker)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"engine": "tcp://host:2376"}, "needs tls"),
        ({"engine": "tcp://host:2376", "tls": {"client_cert": "c.pem"}}, "belong together"),
        ({"engine": "unix:///run/docker.sock", "tls": {}}, "tls belongs to"),
        ({"engine": "http://host:2375"}, "starts with one of"),
        ({"work_root": "relative"}, "absolute path"),
        ({"work_root": "/tmp/../etc"}, "absolute path"),
        ({"work_root": "/"}, "absolute path"),
        ({"timeouts": {"connect_s": 0}}, "greater than 0"),
        ({"contianer": "typo"}, "Extra inputs"),
        ({"container": ""}, "at least 1 character"),
    ],
)
def test_wrong_docker_settings_are_refused_with_the_reason(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ADAPTER.validate_python({"kind": "docker", "container": "c", **settings})
