"""Recorded runs of a real card through comparison, arms, recommendation and verdict."""

from __future__ import annotations

from typing import Any

import pytest

from container_scripts import failure_likeness, server_log
from flagrelease_assets.assets.release.arms import FLAGGEMS, PLUGIN, Culprit, arms_below, find_culprit
from flagrelease_assets.assets.release.findings import job_finding
from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelSnapshot,
    RecommendedStack,
)
from flagrelease_assets.contracts.benchmark import Performance
from flagrelease_assets.contracts.common import ErrorRecord, JobResult, Status
from flagrelease_assets.verdict import Verdict, recommendation_status, release_verdict
from flagrelease_assets.workers.job_models import ExitRecord, JobOutcome
from tests.unit.h200 import records
from tests.unit.h200.records import COMMON, FULL, RUNS, Recorded, answers, compared, log, model_run

FULL_STACK = (PLUGIN, FLAGGEMS)
DIVERGING = {"all operators, graphs": ("A", "B"), "all operators, eager": ("Aeager", "Beager")}
DIVERGING |= {"the plugin's defaults, graphs": ("aG", "eC")}
SOUND = {
    "the plugin without mul, graphs": ("aG", "d2GC"),
    "the plugin without mul, eager": ("a", "dC"),
    "FlagGems without arithmetic, graphs": ("A", "Bok"),
    "FlagGems without arithmetic, eager": ("Aeager", "Bokeager"),
}


def ended(code: int) -> JobOutcome:
    """Return the outcome of a job that ended by itself."""
    times: dict[str, Any] = {"duration_s": 10.0, "finished_at": "2026-11-21T08:40:20+00:00"}
    left: dict[str, Any] = {"terminated": [], "survivors": [], "error": None}
    record = {"reason": "exited", "code": code, "signal": None, **left, **times}
    return JobOutcome(
        name="serve",
        program="test_serve_mode",
        job_dir="/work/runs/r/s/serve",
        run_token="t",
        exit=ExitRecord.model_validate(record),
        result={"status": "FAIL"},
        result_problem=None,
        result_detail=None,
        log_lines=1,
        log_tail=(),
        reconnects=0,
    )


def error_of(name: str) -> ErrorRecord:
    """Return the error that the step records of a run that failed: document, exit and whole server log."""
    document = model_run(name, "run_b_result").phase_b_serve
    text = {"server.log": log(RUNS[name].log)}
    return job_finding("run_b_result", "serve", ended(1), document, None, text)


def behaviour(name: str, base: str) -> failure_likeness.Behaviour:
    """Return what a run did, as the search for the failing arm sees it."""
    document = model_run(name, "run_b_result").phase_b_serve
    assert document is not None
    if document.phase_status == "FAIL":
        error = error_of(name)
        return failure_likeness.behaviour_of_failure(error.category, error.cause)
    reference = failure_likeness.Reference(answers(str(RUNS[base].answers)))
    return failure_likeness.behaviour_of_outputs(reference, document.requests)


def culprit(base: str, full: str, plugin_alone: str) -> Culprit:
    """Return what is guilty when ``plugin_alone`` is the run of the one arm below the full stack."""
    seen, failed = behaviour(plugin_alone, base), behaviour(full, base)
    alike = failure_likeness.fails_alike(failed, seen)
    verdict: Any = "PASS" if seen.kind == failure_likeness.WORKS else "FAIL" if alike else "OTHER"
    return find_culprit(FULL_STACK, {arm.components: verdict for arm in arms_below(FULL_STACK)})


def verdict_of(base: str, full: str, **diff_changes: Any) -> Verdict:
    """Return the verdict of a release with these two runs, everything else passed."""
    diff = compared(base, full).model_copy(update=diff_changes)
    stack = diff.recommended_stack
    return release_verdict(
        {
            "install_status": InstallStatus(**COMMON, status=Status.PASS, gate_passed=True),
            "env_verification": EnvVerification(**COMMON, status=Status.PASS),
            "model_snapshot": ModelSnapshot(**COMMON, status=Status.PASS),
            "run_a_result": model_run(base, "run_a_result"),
            "run_b_result": model_run(full, "run_b_result"),
            "diff_analysis": diff,
            "recommended_stack": RecommendedStack(
                **COMMON, status=recommendation_status(stack, diff.status), recommended_stack=stack
            ),
            "benchmark_metrics": BenchmarkMetrics(
                **COMMON,
                status=Status.PASS,
                stack=stack,
                performance=Performance(status=Status.PASS, profiles_passed="5/5"),
            ),
            "accuracy_metrics": AccuracyMetrics(**COMMON, status=Status.SKIPPED),
        }
    )


def summary(diff: DiffAnalysis) -> tuple[str, str, str]:
    """Return conclusion, status and recommended stack."""
    return diff.conclusion, diff.status.value, diff.recommended_stack.value


@pytest.mark.parametrize(("base", "full"), DIVERGING.values(), ids=DIVERGING.keys())
def test_a_stack_that_answers_nonsense_diverges_and_base_is_recommended(base: str, full: str) -> None:
    found = compared(base, full)
    assert summary(found) == ("OUTPUT_DIVERGENCE", "PARTIAL", "base")
    assert found.agreement is not None and found.agreement["verdict"] == "DIVERGE"
    assert found.multichip_component == "unknown"  # logs name nobody; the arms do


@pytest.mark.parametrize(("base", "full"), DIVERGING.values(), ids=DIVERGING.keys())
def test_nonsense_is_recorded_as_such_although_the_log_holds_warnings_and_later_crashes(
    base: str, full: str
) -> None:
    error = error_of(full)
    assert (error.category, error.layer, error.component) == ("empty_or_garbled", "3", "unknown")
    assert behaviour(full, base).kind == failure_likeness.WRONG_OUTPUTS


@pytest.mark.parametrize(("base", "full"), DIVERGING.values(), ids=DIVERGING.keys())
def test_a_release_whose_full_stack_answers_nonsense_is_partial_on_base(base: str, full: str) -> None:
    verdict = verdict_of(base, full, multichip_component="FlagGems")
    assert verdict.status == Status.PARTIAL
    said = "Releasable on the base stack, with findings: FlagGems makes the full stack fail."
    assert verdict.conclusion == said
    assert any("diff_analysis: OUTPUT_DIVERGENCE (FlagGems)" in finding for finding in verdict.findings)


def test_defaults_of_the_plugin_in_eager_mode_fail_at_start_through_flaggems() -> None:
    found = compared("a", "c")
    assert (*summary(found), found.multichip_component) == ("MULTICHIP_ERROR", "PARTIAL", "base", "FlagGems")
    assert "cos/sin dim must be half of q/k dim" in found.detail
    assert {error.component for error in found.errors} == {"FlagGems"}
    assert verdict_of("a", "c").status == Status.PARTIAL


@pytest.mark.parametrize("full", ["b", "bS"])
def test_defects_of_the_plugin_itself_are_named_as_the_plugins(full: str) -> None:
    found = compared("a", full)
    assert (*summary(found), found.multichip_component) == ("MULTICHIP_ERROR", "PARTIAL", "base", "plugin")
    assert {error.component for error in found.errors} == {PLUGIN}


ARMS = {
    "eC, the plugin alone cannot start": ("aG", "eC", "b"),
    "eC, the plugin alone fails in its own fallback": ("aG", "eC", "bS"),
    "eC, the plugin alone works": ("aG", "eC", "bSRG"),
    "c, the plugin alone cannot start": ("a", "c", "b"),
    "c, the plugin alone fails where its fallback failed": ("a", "c", "bS"),
    "c, the plugin alone works": ("aG", "c", "bSRG"),
}


@pytest.mark.parametrize(("base", "full", "alone"), ARMS.values(), ids=ARMS.keys())
def test_an_arm_that_fails_in_another_way_does_not_acquit_flaggems(base: str, full: str, alone: str) -> None:
    assert culprit(base, full, alone).component == FLAGGEMS


@pytest.mark.parametrize("name", ["b", "bS"])
def test_a_plugin_that_fails_alone_as_the_full_stack_does_is_guilty(name: str) -> None:
    assert culprit("a", name, name).component == PLUGIN


@pytest.mark.parametrize(("base", "full"), SOUND.values(), ids=SOUND.keys())
def test_a_good_set_of_operators_is_recommended_with_its_evidence(base: str, full: str) -> None:
    found = compared(base, full)
    assert summary(found) == ("BOTH_PASS", "PASS", "full")
    assert found.agreement is not None and found.agreement["verdict"] == "AGREE"
    seen = records.observed(RUNS[full])
    assert seen["flaggems_ops"]
    verdict = verdict_of(base, full)
    assert (verdict.status, verdict.findings) == (Status.PASS, [])


def test_without_evidence_of_flaggems_the_full_stack_is_not_recommended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RUNS, "plugin only", Recorded("plugin-bSRG", "plugin-bSRG", env=FULL))
    found = compared("aG", "plugin only")
    assert (*summary(found), found.multichip_component) == ("STACK_NOT_ACTIVE", "PARTIAL", "base", "FlagGems")


def test_another_attention_backend_of_plain_vllm_is_no_divergence() -> None:
    assert compared("a", "aT").conclusion == "BOTH_PASS"


def test_a_base_and_a_nonsense_run_of_another_mode_are_still_told_apart_without_comparing() -> None:
    found = compared("a", "eC")
    assert summary(found) == ("OUTPUT_DIVERGENCE", "PARTIAL", "base")
    assert found.agreement is not None and found.agreement["verdict"] == "NOT_COMPARABLE"


def test_a_benchmark_whose_engine_died_names_the_illegal_memory_access_and_not_a_clients_complaint() -> None:
    text = log("B-all-ops")
    said = JobResult(
        status="FAIL",
        error=f"5 of 5 profiles failed (server: {server_log.root_error_line(text)})",
        traceback=server_log.failure_excerpt(text),
    )
    error = job_finding("benchmark_metrics", "benchmark", ended(1), said, None, {"server.log": text})
    assert (error.category, error.component, error.fatal) == ("device_fault", "unknown", True)
    assert "illegal memory access" in error.cause
