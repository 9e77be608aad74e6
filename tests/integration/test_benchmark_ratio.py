"""Full against base in a whole release: the threshold, the note on other settings, the repeats."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.contracts import BenchmarkMetrics
from flagrelease_assets.contracts.benchmark import DoubtKind
from flagrelease_assets.contracts.common import Status
from tests.doubles.instant_scripts import FULL_STACK, HEALTHY
from tests.integration.rig import Rig

CONFIG = {"version": "0.24.0", "arguments": {"max_model_len": 2048}}


@pytest.fixture
def nvidia(rig: Rig) -> Rig:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    return rig


def answers(full_rate: float = 640.0, full_config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return answers of a worker whose full stack makes so many tokens a second, base 640."""
    base = {**HEALTHY["benchmark_stack"], "server": {"effective_config": CONFIG}}
    profiles = [
        {**profile, "metrics": {**profile["metrics"], "throughput_tok_s": full_rate}}
        for profile in base["profiles"]
    ]
    full = {**base, "profiles": profiles, "server": {"effective_config": full_config or CONFIG}}
    return {**FULL_STACK, "benchmark_stack": {"default": base, "full": full}}


def measure(nvidia: Rig, **changes: Any) -> BenchmarkMetrics:
    nvidia.answer(answers(**changes))
    nvidia.run(vendor="nvidia")
    return nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia")


def test_a_full_stack_below_the_threshold_is_partial_with_the_profiles_named(nvidia: Rig) -> None:
    metrics = measure(nvidia, full_rate=480.0)
    assert (metrics.status, metrics.full_to_base_ratio) == (Status.PARTIAL, 0.75)
    assert len(metrics.ratios) == 5
    assert {doubt.kind for doubt in metrics.doubts or []} == {DoubtKind.TOO_SLOW}
    assert "high_concurrency: 0.750 of base's throughput, at least 0.80 is asked" in (metrics.reason or "")


def test_a_full_stack_at_the_threshold_passes_without_a_reason(nvidia: Rig) -> None:
    metrics = measure(nvidia, full_rate=512.0)
    assert (metrics.status, metrics.reason, metrics.ratio_note) == (Status.PASS, None, None)
    assert metrics.doubts == []


def test_a_base_that_lost_requests_makes_the_benchmark_partial_with_the_profile_named(nvidia: Rig) -> None:
    programs = answers(full_rate=480.0)
    base = programs["benchmark_stack"]["default"]
    lost: dict[str, Any] = {"status": "FAIL", "reasons": ["9 of 10 requests are lost"]}
    lost["metrics"] = {**base["profiles"][0]["metrics"], "throughput_tok_s": 64.0}
    profiles = [{**base["profiles"][0], **lost}, *base["profiles"][1:]]
    programs["benchmark_stack"]["default"] = {**base, "status": "PARTIAL", "profiles": profiles}
    nvidia.answer(programs)
    nvidia.run(vendor="nvidia")
    metrics = nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia")
    name = profiles[0]["name"]
    assert (metrics.status, name in metrics.ratios, len(metrics.ratios)) == (Status.PARTIAL, False, 4)
    doubts = metrics.doubts or []
    assert f"base: profile {name} is FAIL: 9 of 10 requests are lost" in [doubt.text for doubt in doubts]
    assert metrics.reason == "; ".join([*(doubt.text for doubt in doubts), metrics.ratio_note or "?"])


def test_servers_with_other_settings_keep_their_ratio_with_a_note(nvidia: Rig) -> None:
    metrics = measure(nvidia, full_config={**CONFIG, "arguments": {"max_model_len": 1024}})
    assert (metrics.status, metrics.full_to_base_ratio) == (Status.PASS, 1.0)
    assert metrics.ratio_note == "the servers of full and base differ: max_model_len: 1024 against 2048"
    assert metrics.reason == metrics.ratio_note


def test_the_repeats_of_the_deployment_reach_the_program(nvidia: Rig) -> None:
    nvidia.workers["nvidia"]["benchmark_repeats"] = 3
    metrics = measure(nvidia)
    root = nvidia.resource.store().root
    logs = [(root / log).read_text() for job in metrics.jobs for log in job.logs]
    assert any("--repeats 3" in log for log in logs)
