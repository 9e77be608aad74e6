"""Who is at the other end is verified: certificates by TLS, host keys by ssh, and nothing turns it off."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import requests
from docker.transport.sshconn import SSHHTTPAdapter
from pydantic import AnyHttpUrl, ValidationError

from flagrelease_assets.hubs import lookup
from flagrelease_assets.hubs.base import ModelReference, ModelSource
from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.hubs.settings import ClientSettings, HubAddress
from flagrelease_assets.workers import docker_connection
from flagrelease_assets.workers.base import WorkerError
from flagrelease_assets.workers.config import DockerWorkerConfig
from tests.security.sources import calls, dotted, keyword, trees

FORBIDDEN_NAMES = (
    "AutoAddPolicy",
    "WarningPolicy",
    "CERT_NONE",
    "CERT_OPTIONAL",
    "_create_unverified_context",
    "check_hostname",
    "disable_warnings",
)
FORBIDDEN_TEXTS = (
    "StrictHostKeyChecking",
    "UserKnownHostsFile",
    "--insecure",
    "--trusted-host",
    "http.sslVerify",
)
KNOWN = frozenset({("container_scripts/select_flagtree_wheel.py", "--trusted-host")})
"""The index of FlagTree's wheels is installed from as its authors prescribe; SECURITY.md says that it is."""


def weakenings(tree: ast.AST) -> Iterator[str]:
    """Yield a line for everything by which a module could make a connection trust anybody."""
    for _name, call in calls(tree):
        for switch in ("verify", "verify_ssl", "ssl_verify", "ssl"):
            if keyword(call, switch) is False:
                yield f"line {call.lineno}: {switch}=False"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node).rpartition(".")[2] in FORBIDDEN_NAMES:
            yield f"line {node.lineno}: {dotted(node)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"line {node.lineno}: {text}" for text in FORBIDDEN_TEXTS if text in node.value)


def test_no_module_of_the_product_weakens_a_connection() -> None:
    found = {(path, line.partition(": ")[2]) for path, tree in trees() for line in weakenings(tree)}
    assert found == KNOWN


@pytest.mark.parametrize(
    "source",
    [
        "httpx.get(url, verify=False)",
        "client.set_missing_host_key_policy(paramiko.AutoAddPolicy())",
        "context.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False",
        "ssl._create_unverified_context()",
        "run(['ssh', '-o', 'StrictHostKeyChecking=no', host])",
        "run(['pip', 'install', '--trusted-host', host])",
    ],
)
def test_every_weakening_would_be_seen(source: str) -> None:
    assert list(weakenings(ast.parse(source)))


@pytest.fixture
def no_docker_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


class ConnectedDouble:
    """A client that keeps how it was told to connect: nothing listens where the tests point it to."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings


@pytest.mark.parametrize("switched_off", ["", None])
def test_the_environment_cannot_have_an_engine_reached_unverified(
    switched_off: str | None, no_docker_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_docker_environment.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    if switched_off is not None:
        no_docker_environment.setenv("DOCKER_TLS_VERIFY", switched_off)
        no_docker_environment.setenv("DOCKER_CERT_PATH", str(tmp_path))
        for name in ("cert.pem", "key.pem", "ca.pem"):
            (tmp_path / name).touch()
    with pytest.raises(WorkerError, match=r"DOCKER_HOST names tcp://127.*set `engine` and `tls`"):
        docker_connection.connect(DockerWorkerConfig(container="c"), 1)


def test_a_verified_engine_of_the_environment_is_connected_to(
    no_docker_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    no_docker_environment.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    no_docker_environment.setenv("DOCKER_TLS_VERIFY", "1")
    no_docker_environment.setenv("DOCKER_CERT_PATH", str(tmp_path))
    no_docker_environment.setattr(docker, "from_env", ConnectedDouble)
    assert isinstance(docker_connection.connect(DockerWorkerConfig(container="c"), 1), ConnectedDouble)


def test_a_tcp_engine_has_its_certificate_verified_whatever_the_environment_says(
    no_docker_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_docker_environment.setattr(docker, "DockerClient", ConnectedDouble)
    for name in ("DOCKER_TLS_VERIFY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        no_docker_environment.setenv(name, "")
    authority = tmp_path / "ca.pem"
    authority.touch()
    for tls in ({}, {"ca_cert": str(authority)}):
        config = DockerWorkerConfig.model_validate(
            {"container": "c", "engine": "tcp://127.0.0.1:2376", "tls": tls}
        )
        made: Any = docker_connection.connect(config, 1)
        assert made.settings["tls"].verify is True
        session = requests.Session()
        made.settings["tls"].configure_client(session)
        assert session.verify == (str(authority) if tls else True)


@pytest.mark.parametrize("setting", ["verify", "insecure", "skip_verify", "assert_hostname"])
def test_the_configuration_has_no_switch_for_verification(setting: str) -> None:
    tls = {"container": "c", "engine": "tcp://127.0.0.1:2376", "tls": {setting: False}}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DockerWorkerConfig.model_validate(tls)


def test_ssh_is_the_systems_program_with_its_known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "DockerClient", ConnectedDouble)
    config = DockerWorkerConfig(container="c", engine="ssh://user@gpu.test")
    made: Any = docker_connection.connect(config, 1)
    assert made.settings["use_ssh_client"] is True
    adapter = SSHHTTPAdapter("ssh://user@gpu.test", shell_out=True)
    assert adapter.ssh_client is None, "paramiko, with its own idea of host keys, is not used"


def test_a_hub_is_asked_over_tls_that_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[httpx.AsyncClient] = []
    original = httpx.AsyncClient.__init__

    def keep(client: httpx.AsyncClient, *positional: Any, **settings: Any) -> None:
        assert settings.get("verify", True) is not False
        original(client, *positional, **settings)
        made.append(client)

    monkeypatch.setattr(httpx.AsyncClient, "__init__", keep)
    reference = ModelReference(id="org/x", source=ModelSource.HUGGINGFACE)
    nobody = HubAddress(endpoint=AnyHttpUrl("https://127.0.0.1:9"))
    settings = ClientSettings(max_attempts=1, huggingface=nobody)
    lookup.look_up_all_now([reference], client_settings=settings, deadline_s=5)
    (client,) = made
    context = client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_token_is_not_sent_over_a_network_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_12345678")
    for endpoint in ("http://127.0.0.1:9", "http://localhost:9", "https://hub.test"):
        assert HubAddress(endpoint=AnyHttpUrl(endpoint), token_variable="HF_TOKEN").token() is not None
    with pytest.raises(LookupProblem, match=r"http://hub\.test/ is not https.*unset HF_TOKEN") as raised:
        HubAddress(endpoint=AnyHttpUrl("http://hub.test"), token_variable="HF_TOKEN").token()
    assert "hf_12345678" not in str(raised.value)
