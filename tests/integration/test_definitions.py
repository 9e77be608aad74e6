"""The code location: it loads from workspace.yaml, without a deployment, and is what the graph promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from flagrelease_assets.definitions import build_defs, defs
from flagrelease_assets.partitions import model_partitions, vendor_partitions
from tests.integration.rig import STEPS

PROJECT = Path(__file__).parents[2]


def test_workspace_yaml_loads_with_no_deployment_file_anywhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    missing = str(tmp_path / "none.yaml")
    finished = subprocess.run(
        [
            str(Path(sys.executable).with_name("dagster")),
            *("definitions", "validate", "-w", str(PROJECT / "workspace.yaml")),
        ],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(home), "FLAGRELEASE_DEPLOYMENT": missing},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_step_says_who_owns_it_what_it_is_and_which_code_made_it() -> None:
    graph = defs.resolve_asset_graph()
    for step in STEPS:
        node = graph.get(dg.AssetKey(step))
        assert node.group_name == "release"
        assert node.description
        assert node.owners
        assert node.kinds
        assert node.code_version


def test_every_step_has_a_check_of_its_own_and_only_the_verdict_blocks() -> None:
    graph = defs.resolve_asset_graph()
    checks = {key.asset_key.to_user_string(): graph.get(key) for key in graph.asset_check_keys}
    assert set(checks) == set(STEPS)
    assert {step for step, check in checks.items() if check.blocking} == {"release_report"}


def test_the_vendor_dimension_is_the_catalogs_and_models_are_added_while_running() -> None:
    assert {"nvidia", "ascend", "metax", "hygon", "cpu"} <= set(vendor_partitions.get_partition_keys())
    assert model_partitions.name == "model"


def test_model_version_is_external_and_above_the_snapshot() -> None:
    graph = defs.resolve_asset_graph()
    node = graph.get(dg.AssetKey("model_version"))
    assert node.is_external
    assert dg.AssetKey("model_version") in graph.get(dg.AssetKey("model_snapshot")).parent_keys


def test_fresh_definitions_can_be_built_with_parts_replaced() -> None:
    built = build_defs(resource_overrides={"extra": dg.ResourceDefinition.hardcoded_resource(1)})
    assert "extra" in (built.resources or {})
    assert "extra" not in (defs.resources or {})


def test_the_jobs_that_people_launch_are_there() -> None:
    names = {job.name for job in defs.resolve_all_job_defs()}
    assert {"release", "verify", "install", "board"} <= names
