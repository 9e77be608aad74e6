"""Code from a model's folder is run for the model whose entry says so, and for no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from flagrelease_assets.catalog import load_catalog
from flagrelease_assets.deployment import DeploymentError, load_deployment
from flagrelease_assets.deployment.discovery import DiscoveryRule
from tests.integration.rig import TOY, Rig

TRUST = "--trust-remote-code"
CPU = {"kind": "local", "work_root": "/tmp/x"}


def refusal(folder: Path, content: dict[str, Any]) -> str:
    """Return what the deployment file of this content is refused with."""
    file = folder / "flagrelease.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(DeploymentError) as raised:
        load_deployment(file)
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"trust_remote_code": True}, "trust_remote_code: unknown key"),
        (
            {"workers": {"cpu": {**CPU, "trust_remote_code": True}}},
            "workers.cpu.trust_remote_code: unknown key",
        ),
        (
            {"discovery": [{"organisation": "o", "allow": ["*"], "trust_remote_code": True}]},
            "discovery.0.trust_remote_code: unknown key",
        ),
    ],
)
def test_there_is_no_key_that_trusts_more_than_one_model(
    tmp_path: Path, content: dict[str, Any], key: str
) -> None:
    assert key in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "argument",
    [
        TRUST,
        "--trust_remote_code",
        "--trust-remote-code=true",
        "--trust-rem",
        "--TRUST-remote-code",
        "--speculative-config.trust_remote_code",
        '--speculative-config={"trust_remote_code": true}',
        "--config=x.yaml",
    ],
)
@pytest.mark.parametrize("place", ["serve_args", "vllm_args"])
def test_no_engine_argument_trusts_in_its_stead(tmp_path: Path, argument: str, place: str) -> None:
    content: dict[str, Any] = (
        {"workers": {"cpu": {**CPU, place: ["--dtype", "auto", argument]}}}
        if place == "serve_args"
        else {"models": [{"id": "org/x", place: [argument]}]}
    )
    said = refusal(tmp_path, content)
    assert place in said
    assert "set `trust_remote_code: true` in the entry of the model" in said


def test_a_discovered_model_is_never_trusted() -> None:
    rule = DiscoveryRule(organisation="org", allow=["*"])
    assert rule.entry("org/x").trust_remote_code is False


def test_no_vendor_of_the_catalog_trusts_code_for_all_its_models() -> None:
    for vendor in load_catalog().vendors.values():
        assert "trust" not in " ".join([*vendor.serve_flags, *vendor.environment.keys()]).lower()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Rig(tmp_path, instance)


def test_only_jobs_of_the_trusted_model_get_the_flag(rig: Rig) -> None:
    trusted = {**TOY, "id": "org/trusted", "trust_remote_code": True}
    rig.models = [TOY, trusted]
    plain = rig.run()
    marked = rig.run(model="org/trusted")
    flagged: dict[str, set[str]] = {plain.run_id: set(), marked.run_id: set()}
    for file in (rig.folder / "worker-cpu").rglob("job.json"):
        if TRUST in json.loads(file.read_text())["argv"]:
            run = next(run for run in flagged if run in str(file))
            flagged[run].add(file.parent.name.partition("-")[0])
    assert flagged[plain.run_id] == set()
    assert {"offline", "serve"} <= flagged[marked.run_id]
