"""New model versions and stack releases: recorded once, released once on every vendor, nothing lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from flagrelease_assets.assets.release.step import MODEL_VERSION
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.sensors.model_versions import Cursor, model_versions
from flagrelease_assets.sensors.releases import REVISION_TAG, release_on_new_version
from flagrelease_assets.sensors.stack_releases import stack_releases
from tests.doubles.hub_double import HubDouble, HubModel, Reply
from tests.integration.services import service, tool

DEADLINE_S = 150


@pytest.fixture
def hub() -> Iterator[HubDouble]:
    with HubDouble() as double:
        yield double


def publish(hub: HubDouble, model_id: str, commit: str = "a") -> None:
    hub.huggingface[model_id] = HubModel(model_id, commit=commit * 40)


def deployment(folder: Path, hub: HubDouble, **changes: Any) -> DeploymentResource:
    content = {
        "results": "results",
        "workers": {"cpu": {"kind": "local"}, "nvidia": {"kind": "local"}},
        "models": [{"id": "org/a"}, {"id": "org/b"}],
        "hubs": {
            "huggingface": {"endpoint": hub.url},
            "modelscope": {"endpoint": hub.url},
            "backoff_s": 0.01,
        },
        **changes,
    }
    (folder / "flagrelease.yaml").write_text(yaml.safe_dump(content))
    return DeploymentResource(path=str(folder / "flagrelease.yaml"))


def tick(
    sensor: Any, instance: dg.DagsterInstance, resource: DeploymentResource, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"deployment": resource})
    result = sensor(context)
    assert isinstance(result, dg.SensorResult), result
    return result


def record(instance: dg.DagsterInstance, result: dg.SensorResult) -> None:
    """Do with a tick's result what the daemon does."""
    for event in result.asset_events:
        instance.report_runless_asset_event(event)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("model", list(request.partition_keys))


def requested(result: dg.SensorResult) -> list[tuple[str, str]]:
    return [(str(request.partition_key), str(request.run_key)) for request in result.run_requests or []]


def test_a_version_is_recorded_once_and_a_new_one_again(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    publish(hub, "org/a")
    publish(hub, "org/b")
    resource = deployment(tmp_path, hub)
    first = tick(model_versions, instance, resource)
    assert sorted(str(event.partition) for event in first.asset_events) == ["org--a", "org--b"]
    metadata = first.asset_events[0].metadata
    assert metadata["revision"].value == "a" * 40
    assert metadata["config_parameters"].value == 596_049_920
    record(instance, first)
    second = tick(model_versions, instance, resource, first.cursor)
    assert (second.asset_events, second.dynamic_partitions_requests) == ([], [])
    assert "looked at 2 models: 0 new versions" in str(second.skip_reason)
    assert hub.requests_for("org/a")[-1].headers["if-none-match"], "an unchanged model costs a 304"
    publish(hub, "org/b", "b")
    third = tick(model_versions, instance, resource, second.cursor)
    assert [event.partition for event in third.asset_events] == ["org--b"]


def test_a_hub_that_is_down_delays_its_models_only_and_loses_nothing_that_was_seen(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    publish(hub, "org/a")
    publish(hub, "org/b")
    resource = deployment(tmp_path, hub)
    first = tick(model_versions, instance, resource)
    hub.reply_always("/org/b", Reply(503))
    publish(hub, "org/a", "c")
    second = tick(model_versions, instance, resource, first.cursor)
    assert [event.partition for event in second.asset_events] == ["org--a"]
    assert Cursor.read(second.cursor).models["org/b"].revision == "a" * 40


def test_a_model_that_was_renamed_is_still_seen_and_said(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    publish(hub, "org/new-a")
    publish(hub, "org/b")
    hub.renamed["org/a"] = "org/new-a"
    result = tick(model_versions, instance, deployment(tmp_path, hub))
    (event,) = [event for event in result.asset_events if event.partition == "org--a"]
    assert event.metadata["renamed_to"].value == "org/new-a"


@pytest.mark.parametrize("cursor", ["", "{", "[]", '{"version": 99}', '{"models": {"x": 1}}'])
def test_a_broken_cursor_is_a_fresh_start(cursor: str) -> None:
    assert Cursor.read(cursor) == Cursor()


def test_models_are_discovered_by_organisation_within_the_allow_list_and_over_pages(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    hub.page_size = 2
    for name in ("org/Tiny-1", "org/Tiny-2", "org/Huge-1", "org/Tiny-3", "other/Tiny-9"):
        publish(hub, name)
    rules = [{"organisation": "org", "allow": ["org/Tiny-*"], "limit": 10}]
    resource = deployment(tmp_path, hub, models=[], discovery=rules)
    result = tick(model_versions, instance, resource)
    (request,) = result.dynamic_partitions_requests or []
    assert sorted(request.partition_keys) == ["org--Tiny-1", "org--Tiny-2", "org--Tiny-3"]
    assert resource.load().model("org--Tiny-2").source == "huggingface"
    assert instance.get_dynamic_partitions("model") == [], "a test tick has no effect of its own"


@pytest.mark.parametrize(
    ("reply", "times"),
    [
        (Reply(500), 4),
        (Reply(body=b"<html>log in</html>", content_type="text/html"), 1),
        (Reply(body=b'[{"id":'), 1),
    ],
)
def test_a_list_that_cannot_be_had_is_deferred_and_costs_configured_models_nothing(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble, reply: Reply, times: int
) -> None:
    publish(hub, "org/a")
    hub.reply_next("/api/models", *[reply] * times)
    rules = [{"organisation": "org", "allow": ["org/*"]}]
    resource = deployment(tmp_path, hub, models=[{"id": "org/a"}], discovery=rules)
    result = tick(model_versions, instance, resource)
    assert [event.partition for event in result.asset_events] == ["org--a"]


def observe(instance: dg.DagsterInstance, model: str, revision: str) -> None:
    event = dg.AssetObservation(MODEL_VERSION, partition=model, metadata={"revision": revision})
    instance.report_runless_asset_event(event)


def test_several_versions_in_one_tick_are_all_released_on_every_vendor_and_none_twice(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    resource = deployment(tmp_path, hub)
    for model, revision in (("org--a", "r1"), ("org--b", "r1"), ("org--a", "r2"), ("org--a", "r2")):
        observe(instance, model, revision)
    first = tick(release_on_new_version, instance, resource)
    assert requested(first) == [
        (f"{model}|{vendor}", f"{model}@{revision}:{vendor}")
        for model, revision in (("org--a", "r1"), ("org--b", "r1"), ("org--a", "r2"))
        for vendor in ("cpu", "nvidia")
    ]
    assert (first.run_requests or [])[0].tags[REVISION_TAG] == "r1"
    assert [list(request.partition_keys) for request in first.dynamic_partitions_requests or []] == [
        ["org--a", "org--b"]
    ]
    context = dg.build_sensor_context(
        instance=instance, cursor=first.cursor, resources={"deployment": resource}
    )
    assert isinstance(release_on_new_version(context), dg.SkipReason)
    again = tick(release_on_new_version, instance, resource)
    assert requested(again) == requested(first), "a lost tick asks for the same keys, which run once"


def test_versions_are_only_noted_where_the_deployment_says_so(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    observe(instance, "org--a", "r1")
    result = tick(release_on_new_version, instance, deployment(tmp_path, hub, on_new_version="observe"))
    assert not result.run_requests
    assert result.cursor


def test_a_model_whose_entry_is_gone_is_not_released(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    observe(instance, "org--gone", "r1")
    assert requested(tick(release_on_new_version, instance, deployment(tmp_path, hub))) == []


def test_a_new_stack_release_is_recorded_and_released_only_if_configured(
    tmp_path: Path, instance: dg.DagsterInstance, hub: HubDouble
) -> None:
    instance.add_dynamic_partitions("model", ["org--a", "org--gone"])
    resource = deployment(tmp_path, hub)
    first = tick(stack_releases, instance, resource)
    assert sorted(str(event.partition) for event in first.asset_events) == ["cpu", "nvidia"]
    assert not first.run_requests, "the first look is no news"
    workers = {"cpu": {"kind": "local"}, "nvidia": {"kind": "local", "stack_release": "fl-0.28.0"}}
    stale = tick(stack_releases, instance, deployment(tmp_path, hub, workers=workers), first.cursor)
    assert [event.partition for event in stale.asset_events] == ["nvidia"]
    assert not stale.run_requests
    released = deployment(tmp_path, hub, workers=workers, on_new_stack_release="release")
    news = tick(stack_releases, instance, released, first.cursor)
    assert [key for key, _ in requested(news)] == ["org--a|nvidia"]
    assert json.loads(news.cursor or "{}")["nvidia"].startswith("fl-0.28.0@")


def test_the_daemon_releases_a_new_revision_once_on_every_vendor_over_a_restart(
    tmp_path: Path, environment: dict[str, str], hub: HubDouble
) -> None:
    publish(hub, "org/a")
    file = Path(environment["DAEMON_TEST_DEPLOYMENT"])
    content = yaml.safe_load(file.read_text())
    content["models"] = [{"id": "org/a"}]
    content["hubs"] = {"huggingface": {"endpoint": hub.url}}
    file.write_text(yaml.safe_dump(content))
    command = [tool("dagster-daemon"), "run", "-w", str(tmp_path / "workspace.yaml")]
    with dg.DagsterInstance.get() as instance:
        with service(command, environment, tmp_path / "daemon-1.log"):
            wait_for_runs(instance, tmp_path / "daemon-1.log", 2)
        with service(command, environment, tmp_path / "daemon-2.log"):
            wait_for_runs(instance, tmp_path / "daemon-2.log", 2, finished=True)
            time.sleep(40)  # more than a tick of the sensor
        runs = instance.get_runs(dg.RunsFilter(tags={REVISION_TAG: "a" * 40}))
        assert sorted(run.tags["dagster/partition"] for run in runs) == ["org--a|cpu", "org--a|nvidia"]


def wait_for_runs(instance: dg.DagsterInstance, log: Path, count: int, *, finished: bool = False) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        runs = [run for run in instance.get_runs() if REVISION_TAG in run.tags]
        if len(runs) >= count and (not finished or all(run.is_finished for run in runs)):
            return
        time.sleep(1)
    raise AssertionError(f"{[(run.tags, run.status) for run in runs]}\n{log.read_text()[-4000:]}")
