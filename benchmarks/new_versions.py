"""Measure the sensors on new model versions: a look at many models on a slow hub, and many versions at once.

Belongs here: ticks of the sensors against the local hub and an instance of its own.
Does not belong here: runs.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from benchmarks.figures import Figure
from flagrelease_assets.assets.release.step import MODEL_VERSION
from flagrelease_assets.catalog import vendor_names
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.sensors.model_versions import model_versions
from flagrelease_assets.sensors.releases import release_on_new_version
from tests.doubles.hub_double import HubDouble, HubModel

MODELS, LATENCY_S, LOOK_AIM_S = 200, 0.1, 3.0
VERSIONS, REQUEST_AIM_S = 50, 1.0
VENDORS = 12


def measure() -> tuple[Figure, ...]:
    """Return the seconds of a first and an unchanged look at the hub, and of a tick with many versions."""
    with (
        tempfile.TemporaryDirectory(prefix="flagrelease-bench-") as folder,
        HubDouble(latency_s=LATENCY_S) as hub,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        for number in range(MODELS):
            hub.huggingface[f"org/m{number}"] = HubModel(f"org/m{number}")
        deployment = _deployment(Path(folder), hub.url)
        first, first_s = _tick(model_versions, instance, deployment, None)
        assert len(first.asset_events) == MODELS
        _, unchanged_s = _tick(model_versions, instance, deployment, first.cursor)
        for number in range(VERSIONS):
            event = dg.AssetObservation(
                MODEL_VERSION, partition=f"org--m{number}", metadata={"revision": "a" * 40}
            )
            instance.report_runless_asset_event(event)
        news, news_s = _tick(release_on_new_version, instance, deployment, None)
        assert len(news.run_requests or []) == VERSIONS * VENDORS
    slow = f"{MODELS} models, {LATENCY_S * 1000:.0f} ms a request"
    return (
        Figure("first look at the hub", first_s, "s", LOOK_AIM_S, detail=f"{slow}, two requests each"),
        Figure("look where nothing changed", unchanged_s, "s", LOOK_AIM_S, detail=slow),
        Figure("new versions", news_s, "s", REQUEST_AIM_S, detail=f"{VERSIONS} versions x {VENDORS} vendors"),
    )


def _deployment(folder: Path, url: str) -> DeploymentResource:
    content = {
        "results": "results",
        "workers": {vendor: {"kind": "local"} for vendor in vendor_names()[:VENDORS]},
        "models": [{"id": f"org/m{number}"} for number in range(MODELS)],
        "hubs": {"huggingface": {"endpoint": url}},
    }
    (folder / "flagrelease.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return DeploymentResource(path=str(folder / "flagrelease.yaml"))


def _tick(
    sensor: Any, instance: dg.DagsterInstance, deployment: DeploymentResource, cursor: str | None
) -> tuple[dg.SensorResult, float]:
    resources = {"deployment": deployment}
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)
    started = time.perf_counter()
    result = sensor(context)
    seconds = time.perf_counter() - started
    if isinstance(result, dg.SkipReason):
        result = dg.SensorResult(skip_reason=result)
    return result, seconds
