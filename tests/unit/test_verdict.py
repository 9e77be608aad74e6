"""The verdict: every vector of step statuses, each with what kept it from PASS, and impossible ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
)
from flagrelease_assets.contracts.benchmark import Performance
from flagrelease_assets.contracts.common import ErrorRecord, Stack, Status, StepDocument, UnreadableResult
from flagrelease_assets.verdict import contradictions, recommendation_status, release_verdict, run_status

COMMON: dict[str, Any] = {
    "vendor": "nvidia",
    "model": "org--toy",
    "run_id": "run",
    "created_at": datetime(2026, 1, 2, tzinfo=UTC),
}
Documents = dict[str, StepDocument | None]


def error(step: str, cause: str, *, fatal: bool = False) -> ErrorRecord:
    return ErrorRecord(step=step, layer="2", component="vLLM", category="engine", cause=cause, fatal=fatal)


def run(step: str, status: str, **fields: Any) -> ModelRun:
    stack = Stack.BASE if step == "run_a_result" else Stack.FULL
    return ModelRun.model_validate({**COMMON, "step": step, "status": status, "stack": stack, **fields})


def documents(
    *,
    install: str = "PASS",
    gate: bool = True,
    env: str = "PASS",
    fatal: bool = False,
    a: str = "PASS",
    b: str = "PASS",
    conclusion: str = "BOTH_PASS",
    stack: str = "full",
    profiles: str = "5/5",
    **replaced: StepDocument | None,
) -> Documents:
    """Return the documents of a release; the defaults are one where everything passed."""
    passed = {"5/5": "PASS", "0/5": "FAIL", "-": "BLOCKED"}.get(profiles, "PARTIAL")
    recommended = Stack(stack)
    made: Documents = {
        "install_status": InstallStatus(**COMMON, status=Status(install), gate_passed=gate, reason="i"),
        "env_verification": EnvVerification(**COMMON, status=Status(env), fatal=fatal, reason="e"),
        "model_snapshot": ModelSnapshot(**COMMON, status=Status.PASS),
        "run_a_result": run("run_a_result", a, reason=None if a == "PASS" else "a broke"),
        "run_b_result": run("run_b_result", b, reason=None if b == "PASS" else "b broke"),
        "diff_analysis": DiffAnalysis.model_validate(
            {
                **COMMON,
                "status": "PASS" if conclusion == "BOTH_PASS" else "PARTIAL",
                "conclusion": conclusion,
                "recommended_stack": stack,
            }
        ),
        "recommended_stack": RecommendedStack(
            **COMMON,
            status=recommendation_status(recommended, Status.PASS),
            recommended_stack=recommended,
        ),
        "benchmark_metrics": BenchmarkMetrics(
            **COMMON,
            status=Status(passed),
            stack=recommended if profiles != "-" else Stack.NONE,
            performance=Performance(profiles_passed=profiles),
            reason=f"{profiles} profiles passed",
        ),
        "accuracy_metrics": AccuracyMetrics(**COMMON, status=Status.SKIPPED, reason="no evaluator"),
    }
    return {**made, **replaced}


def test_everything_passed_is_a_pass_and_an_unconfigured_accuracy_step_does_not_matter() -> None:
    verdict = release_verdict(documents())
    assert (verdict.status, verdict.findings) == (Status.PASS, [])


VECTORS: dict[str, tuple[dict[str, Any], str, str]] = {
    "FlagCX failed to install": ({"install": "PARTIAL"}, "PARTIAL", "install_status"),
    "environment failed, not fatally": ({"env": "FAIL"}, "PARTIAL", "env_verification"),
    "run B failed, benchmark on base": (
        {"b": "FAIL", "conclusion": "MULTICHIP_ERROR", "stack": "base"},
        "PARTIAL",
        "run_b_result",
    ),
    "run B skipped": ({"b": "SKIPPED", "conclusion": "SKIPPED", "stack": "base"}, "PARTIAL", "run_b_result"),
    "three of five profiles": ({"profiles": "3/5"}, "PARTIAL", "benchmark_metrics"),
    "no profile, but the model serves": ({"profiles": "0/5"}, "PARTIAL", "benchmark_metrics"),
    "outputs diverge": (
        {"conclusion": "OUTPUT_DIVERGENCE", "stack": "base"},
        "PARTIAL",
        "diff_analysis: OUTPUT_DIVERGENCE",
    ),
    "the stack was never active": (
        {"conclusion": "STACK_NOT_ACTIVE", "stack": "base"},
        "PARTIAL",
        "diff_analysis: STACK_NOT_ACTIVE",
    ),
    "run A failed, run B passed": (
        {"a": "FAIL", "conclusion": "UNEXPECTED", "stack": "full"},
        "PARTIAL",
        "diff_analysis: UNEXPECTED",
    ),
    "environment failed fatally": ({"env": "FAIL", "fatal": True, "profiles": "-"}, "FAIL", "fatally"),
    "both runs failed": (
        {"a": "FAIL", "b": "FAIL", "conclusion": "SAME_ERROR", "stack": "none", "profiles": "-"},
        "FAIL",
        "no stack can serve the model (a broke)",
    ),
}


@pytest.mark.parametrize(("changes", "status", "word"), VECTORS.values(), ids=VECTORS.keys())
def test_the_verdict_of_each_vector_and_what_it_names(
    changes: dict[str, Any], status: str, word: str
) -> None:
    verdict = release_verdict(documents(**changes))
    assert verdict.status == status
    assert any(word in line for line in (verdict.conclusion, *verdict.findings)), verdict


def test_a_closed_install_gate_fails_with_its_reason_although_nothing_else_ran() -> None:
    closed = InstallStatus(
        **COMMON, status=Status.FAIL, gate_passed=False, errors=[error("install_status", "no wheel")]
    )
    verdict = release_verdict({**dict.fromkeys(documents()), "install_status": closed})
    assert verdict.status == Status.FAIL
    assert verdict.conclusion == "Not releasable: the install gate is closed (no wheel)."


@pytest.mark.parametrize(
    "step", ["install_status", "env_verification", "model_snapshot", "recommended_stack"]
)
def test_a_missing_step_never_passes(step: str) -> None:
    assert release_verdict({**documents(), step: None}).status == Status.FAIL


@pytest.mark.parametrize("step", ["run_a_result", "benchmark_metrics"])
def test_a_missing_measurement_is_a_finding(step: str) -> None:
    verdict = release_verdict({**documents(), step: None})
    assert (verdict.status, verdict.findings) == (Status.PARTIAL, [f"{step}: MISSING: no result"])


def test_an_unreadable_result_never_passes_and_names_the_file() -> None:
    lost = UnreadableResult(**COMMON, step="recommended_stack", status=Status.FAIL, reason="x.json: broken")
    verdict = release_verdict(documents(recommended_stack=lost))
    assert verdict.status == Status.FAIL


def test_a_model_that_is_not_there_fails_with_the_files_reason() -> None:
    gone = ModelSnapshot(**COMMON, status=Status.FAIL, reason="config.json is missing")
    verdict = release_verdict(documents(model_snapshot=gone))
    assert verdict.status == Status.FAIL
    assert "config.json is missing" in verdict.conclusion


def test_a_run_that_only_serves_passes_and_keeps_its_offline_error_as_a_finding() -> None:
    broken = error("run_a_result", "offline broke")
    status, reason = run_status(offline_passed=False, serve_passed=True, errors=[broken])
    assert status == Status.PASS
    serving = run("run_a_result", "PASS", reason=reason, errors=[broken])
    verdict = release_verdict(documents(run_a_result=serving))
    assert verdict.status == Status.PARTIAL
    assert verdict.findings == ["run_a_result: serves, but the offline phase failed: offline broke"]


def test_a_run_that_does_not_serve_fails_whatever_the_offline_phase_did() -> None:
    broken = error("run_a_result", "serve broke")
    assert run_status(offline_passed=True, serve_passed=False, errors=[broken]) == (
        Status.FAIL,
        "serve broke",
    )
    assert run_status(offline_passed=True, serve_passed=True, errors=[]) == (Status.PASS, None)


def test_a_failed_evaluation_counts_although_a_skipped_one_does_not() -> None:
    worse = AccuracyMetrics(**COMMON, status=Status.FAIL, reason="GPQA dropped by 9 %")
    verdict = release_verdict(documents(accuracy_metrics=worse))
    assert (verdict.status, verdict.findings) == (
        Status.PARTIAL,
        ["accuracy_metrics: FAIL: GPQA dropped by 9 %"],
    )


@pytest.mark.parametrize(
    ("stack", "comparison", "status"),
    [
        (Stack.FULL, Status.PASS, Status.PASS),
        (Stack.FULL, Status.PARTIAL, Status.PARTIAL),
        (Stack.BASE, Status.PARTIAL, Status.PARTIAL),
        (Stack.NONE, Status.FAIL, Status.FAIL),
    ],
)
def test_only_two_good_runs_recommend_without_reserve(
    stack: Stack, comparison: Status, status: Status
) -> None:
    assert recommendation_status(stack, comparison) == status


def test_a_comparison_with_a_doubt_is_a_finding_although_both_runs_pass() -> None:
    doubtful = DiffAnalysis(
        **COMMON,
        status=Status.PARTIAL,
        conclusion="BOTH_PASS",
        recommended_stack=Stack.FULL,
        detail="the full stack works",
        reasons=["outputs could not be compared: no log-probabilities"],
    )
    verdict = release_verdict({**documents(), "diff_analysis": doubtful})
    assert verdict.status == Status.PARTIAL
    assert "could not be compared" in verdict.findings[0]


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "full although B failed": ({"b": "FAIL"}, "full stack is recommended although Run B did not pass"),
    "full although B is missing": ({"run_b_result": None}, "although Run B did not pass"),
    "ran behind a closed gate": (
        {"install": "FAIL", "gate": False},
        "run_a_result ran although the install gate was closed",
    ),
    "benchmark on another stack": (
        {
            "benchmark_metrics": BenchmarkMetrics(**COMMON, status=Status.PASS, stack=Stack.BASE),
        },
        "the benchmark ran on base, not on full",
    ),
    "another stack than the diff's": (
        {
            "diff_analysis": DiffAnalysis(
                **COMMON,
                status=Status.PARTIAL,
                conclusion="MULTICHIP_ERROR",
                recommended_stack=Stack.BASE,
            )
        },
        "not the diff analysis' one",
    ),
}


@pytest.mark.parametrize(("changes", "word"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_results_that_contradict_each_other_release_nothing(changes: dict[str, Any], word: str) -> None:
    verdict = release_verdict(documents(**changes))
    assert verdict.status == Status.FAIL
    assert "contradict" in verdict.conclusion
    assert any(word in finding for finding in verdict.findings)


def test_results_of_an_older_run_do_not_contradict_a_gate_that_closed_today() -> None:
    closed = InstallStatus(**{**COMMON, "run_id": "today"}, status=Status.FAIL, gate_passed=False, reason="i")
    assert contradictions(documents(install_status=closed)) == []
    assert release_verdict(documents(install_status=closed)).status == Status.FAIL
