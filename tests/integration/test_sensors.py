"""Sensors: configured models become partitions and their versions are observed, failures are said."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.sensors.lost_runs import lost_release
from flagrelease_assets.sensors.model_versions import model_versions
from tests.doubles.instant_scripts import HEALTHY
from tests.integration.rig import Rig


def write_deployment(folder: Path, models: list[dict[str, str]]) -> DeploymentResource:
    file = folder / "flagrelease.yaml"
    file.write_text(yaml.safe_dump({"results": "results", "models": models}))
    return DeploymentResource(path=str(file))


def make_model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "num_attention_heads": 9}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def tick(instance: dg.DagsterInstance, deployment: DeploymentResource) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources={"deployment": deployment})
    result = model_versions(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_a_new_entry_becomes_a_partition_and_its_version_an_observation(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    folder = make_model_folder(tmp_path / "model")
    deployment = write_deployment(tmp_path, [{"id": "org/m", "source": "folder", "path": str(folder)}])
    result = tick(instance, deployment)
    assert isinstance(result, dg.SensorResult)
    requests = result.dynamic_partitions_requests or []
    assert [list(request.partition_keys) for request in requests] == [["org--m"]]
    (observation,) = result.asset_events
    assert observation.partition == "org--m"
    assert observation.metadata["file_count"].value == 2


def test_a_known_entry_is_not_added_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("model", ["org--m"])
    folder = make_model_folder(tmp_path / "model")
    deployment = write_deployment(tmp_path, [{"id": "org/m", "source": "folder", "path": str(folder)}])
    result = tick(instance, deployment)
    assert isinstance(result, dg.SensorResult)
    assert not result.dynamic_partitions_requests


def test_a_model_that_cannot_be_seen_is_deferred_and_costs_the_others_nothing(
    tmp_path: Path, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model_folder(tmp_path / "model")
    models = [
        {"id": "org/gone", "source": "folder", "path": str(tmp_path / "gone")},
        {"id": "org/m", "source": "folder", "path": str(folder)},
    ]
    result = tick(instance, write_deployment(tmp_path, models))
    assert isinstance(result, dg.SensorResult)
    assert [event.partition for event in result.asset_events] == ["org--m"]


def stored_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="release", tags={"dagster/partition": "org--m|cpu", **tags})
    instance.add_run(run)
    return run


def test_a_run_that_died_before_its_report_gets_one(instance: dg.DagsterInstance) -> None:
    assert lost_release(instance, stored_run(instance)) == "org--m|cpu"


def test_a_report_made_for_a_lost_run_asks_for_no_other_even_when_it_is_red(
    instance: dg.DagsterInstance,
) -> None:
    assert lost_release(instance, stored_run(instance, **{"flagrelease/report_for": "x"})) is None


def test_a_red_run_that_stored_its_report_is_not_lost(rig: Rig) -> None:
    rig.answer({"validate_packages": {**HEALTHY["validate_packages"], "packages": {}}})
    result = rig.run()
    assert not result.success
    run = rig.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert lost_release(rig.instance, run) is None


def test_a_missing_deployment_file_is_the_ticks_reason_not_a_failed_tick(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    result = tick(instance, DeploymentResource(path=str(tmp_path / "none.yaml")))
    assert isinstance(result, dg.SkipReason)
    assert "no such file" in (result.skip_message or "")
