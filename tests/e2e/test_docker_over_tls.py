"""A worker on an engine behind TLS: certificates are verified both ways, and jobs run as they do locally."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import trustme
from docker.models.containers import Container

from flagrelease_assets.demo.container import WORKER_PYTHON
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.config import DockerWorkerConfig, TlsConfig
from flagrelease_assets.workers.factory import open_worker
from flagrelease_assets.workers.jobs import JobSpec, run_job
from tests.doubles.tls_front import tls_front


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[ssl.SSLContext, TlsConfig]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("engineer@example.org")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    files = TlsConfig(
        ca_cert=tmp_path / "ca.pem", client_cert=tmp_path / "cert.pem", client_key=tmp_path / "key.pem"
    )
    return context, files


@pytest.fixture
def engine_port(
    docker_client: docker.DockerClient, certificates: tuple[ssl.SSLContext, TlsConfig]
) -> Iterator[int]:
    with tls_front("/var/run/docker.sock", certificates[0]) as port:
        yield port


def test_a_job_runs_on_an_engine_behind_tls(
    engine_port: int, certificates: tuple[ssl.SSLContext, TlsConfig], worker_container: Container
) -> None:
    config = DockerWorkerConfig(
        container=str(worker_container.name),
        engine=f"tcp://127.0.0.1:{engine_port}",
        tls=certificates[1],
        python=WORKER_PYTHON,
    )
    spec = JobSpec(
        run_id="tls",
        step="test",
        name="environment",
        program="collect_env_info",
        arguments=("--vendor", "cpu"),
        deadline_s=60,
        idle_s=60,
    )
    with open_worker(config) as worker:
        outcome = run_job(worker, spec)
    assert outcome.completed
    assert outcome.result is not None
    assert outcome.result["vendor"] == "cpu"


def test_an_engine_with_a_certificate_of_another_authority_is_refused(
    engine_port: int,
    certificates: tuple[ssl.SSLContext, TlsConfig],
    worker_container: Container,
    tmp_path: Path,
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    tls = certificates[1].model_copy(update={"ca_cert": tmp_path / "other.pem"})
    config = DockerWorkerConfig(
        container=str(worker_container.name), engine=f"tcp://127.0.0.1:{engine_port}", tls=tls
    )
    with pytest.raises(WorkerError) as caught, open_worker(config) as worker:
        worker.identity()
    assert caught.value.category == WorkerProblem.ENGINE_UNREACHABLE
    assert "certificate" in str(caught.value).lower()
