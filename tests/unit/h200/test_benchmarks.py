"""Benchmark results of a real card: 416 of 12,800 tokens, or none, have not passed."""

from __future__ import annotations

import pytest

from container_scripts.benchmark_metrics import (
    Profile,
    judge_profile,
    metrics_from_json,
    overall_status,
)
from tests.unit.h200.records import PROFILES, benchmark

WARM = Profile("warm", 256, 128, 100)


def judged(run: str, profile: Profile) -> tuple[str, tuple[str, ...]]:
    """Return status and reasons of one profile of a run."""
    judgement = judge_profile(metrics_from_json(benchmark(run, profile)), profile)
    return judgement.status, judgement.reasons


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_profile_of_the_broken_stack_fails_although_the_client_ended_with_0(profile: Profile) -> None:
    assert judged("B", profile)[0] == "FAIL"


def test_all_completed_and_none_failed_is_no_pass_when_the_tokens_are_missing() -> None:
    recorded = benchmark("B", WARM)
    assert (recorded["completed"], recorded["failed"]) == (100, 0)
    assert judged("B", WARM) == ("FAIL", ("416 output tokens where 12800 were asked (-96.8%)",))


def test_the_broken_stack_has_no_benchmark_at_all() -> None:
    assert overall_status([judged("B", profile)[0] for profile in PROFILES]) == "FAIL"


@pytest.mark.parametrize("run", ["A", "Aeager", "Bok"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_profile_of_a_sound_stack_passes(run: str, profile: Profile) -> None:
    assert judged(run, profile) == ("PASS", ())


@pytest.mark.parametrize("run", ["a", "aG", "aT", "dC", "d2GC"])
def test_the_warm_profile_of_each_sound_plugin_run_passes(run: str) -> None:
    assert judged(f"plugin-{run}-warm", WARM) == ("PASS", ())


@pytest.mark.parametrize(
    ("run", "profile"), [*(("Beager", one) for one in PROFILES), ("plugin-eC-warm", WARM)]
)
def test_nonsense_of_full_length_passes_a_benchmark_so_outputs_must_be_compared(
    run: str, profile: Profile
) -> None:
    assert judged(run, profile)[0] == "PASS"


def test_throughput_of_the_good_set_against_plain_vllm_is_the_ratio_that_was_measured() -> None:
    figures = [metrics_from_json(benchmark(run, PROFILES[2]))["throughput_tok_s"] for run in ("Bok", "A")]
    assert figures[0] is not None and figures[1] is not None
    assert figures[0] / figures[1] == pytest.approx(0.79, abs=0.005)
