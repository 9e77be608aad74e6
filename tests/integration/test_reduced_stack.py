"""Where FlagGems is what fails: the operators are named, and the full stack without them is released."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.contracts import BenchmarkMetrics, DiffAnalysis, RecommendedStack
from flagrelease_assets.contracts.common import Stack, Status
from tests.doubles.instant_scripts import FULL_STACK, HEALTHY, OUTPUTS
from tests.integration.rig import Rig

GARBAGE = [{**OUTPUTS[0], "text": "a the a the", "token_ids": [0, 0]}]
OFFLINE, SERVE = FULL_STACK["run_offline_inference"], FULL_STACK["test_serve_mode"]
FOUND = {
    "status": "PASS",
    "reason": "the whole works without them, and each alone makes it fail",
    "operators": 398,
    "guilty": [["mul"]],
    "left_out_before": ["index_put"],
    "verified": True,
    "variable": "VLLM_FL_FLAGOS_BLACKLIST",
    "value": "mul,index_put",
    "starts": 12,
    "starts_bound": 12,
    "trials": [
        {"number": 1, "operators_on": 0, "outcome": "PASS", "reason": "1 of 1 identical", "seconds": 50.0}
    ],
    "without_guilty": OFFLINE["full"],
}

FURTHER = {
    **FOUND,
    "guilty": [["exp"]],
    "value": "exp,mul,index_put",
    "left_out_before": ["mul", "index_put"],
    "starts": 9,
    "without_guilty": SERVE["full"],
    "_environment": {"VLLM_FL_FLAGOS_BLACKLIST": "mul,index_put"},
}
NONSENSE = {
    **SERVE["full"],
    "status": "FAIL",
    "error": "1 of 1 answers are degenerate",
    "category": "empty_or_garbled",
    "requests": [{"kind": "chat", "http_status": 200, "text": "!!!!!!!!!!!!"}],
    "checks": {**SERVE["full"]["checks"], "not_degenerate": {"ok": False, "detail": "1 of 1"}},
}


@pytest.fixture
def nvidia(rig: Rig) -> Rig:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    rig.answer(answers())
    return rig


def answers(**changes: Any) -> dict[str, Any]:
    """Return the answers of a worker whose full stack answers nonsense because of one operator."""
    return {
        **FULL_STACK,
        "run_offline_inference": {
            **OFFLINE,
            "full": {**OFFLINE["full"], "outputs": GARBAGE},
            "arm-vllm-plugin-fl-offline": OFFLINE["full"],
        },
        "test_serve_mode": {**SERVE, "reduced": SERVE["full"]},
        "search_operators": FOUND,
        **changes,
    }


def nonsense_when_serving(further: dict[str, Any]) -> dict[str, Any]:
    """Return the answers where the stack without `mul` serves nonsense, and what is found then."""
    offline = answers()["run_offline_inference"]
    proven = {**OFFLINE["full"], "_environment": {"VLLM_FL_FLAGOS_BLACKLIST": "exp,mul,index_put"}}
    return answers(
        run_offline_inference={**offline, "reduced": proven},
        test_serve_mode={**SERVE, "reduced": NONSENSE},
        search_operators={"default": FOUND, "operator-search-serve": further},
    )


def test_the_largest_stack_that_was_proven_is_recommended_and_measured_beside_base(nvidia: Rig) -> None:
    result = nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.multichip_component) == ("OUTPUT_DIVERGENCE", "FlagGems")
    assert diff.operator_search is not None
    assert (diff.operator_search.names, diff.operator_search.starts) == (["mul"], 12)
    assert diff.reduced_stack is not None
    assert (diff.reduced_stack.works, diff.reduced_stack.conclusion) == (True, "BOTH_PASS")
    recommended = nvidia.document(RecommendedStack, "recommended_stack", "nvidia")
    assert (recommended.recommended_stack, recommended.operators_off) == (Stack.REDUCED, ["mul"])
    assert recommended.reduced_flags == {
        "VLLM_PLUGINS": "fl",
        "USE_FLAGGEMS": "1",
        "FLAGCX_PATH": None,
        "VLLM_FL_FLAGOS_BLACKLIST": "mul,index_put",
    }
    benchmark = nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia")
    assert benchmark.stack == Stack.REDUCED
    assert benchmark.flags == recommended.reduced_flags
    assert benchmark.full_to_base_ratio == 1.0
    assert result.report is not None
    assert result.report.status == Status.PARTIAL, "a part of the full stack is not the full stack"
    assert "mul" in result.report.conclusion


def test_a_reduced_stack_that_is_not_wholly_measured_beside_base_is_not_called_full(nvidia: Rig) -> None:
    whole = HEALTHY["benchmark_stack"]
    lost: dict[str, Any] = {"status": "FAIL", "reasons": ["9 of 10 requests are lost"]}
    base = {**whole, "status": "PARTIAL", "profiles": [{**whole["profiles"][0], **lost}]}
    nvidia.answer(answers(benchmark_stack={"default": whole, "base": base}))
    nvidia.run(vendor="nvidia")
    benchmark = nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia")
    assert f"no reduced/base ratio for {whole['profiles'][0]['name']}" in (benchmark.reason or "")
    assert "full" not in (benchmark.reason or "")


def test_a_reduced_stack_that_cannot_serve_is_not_recommended(nvidia: Rig) -> None:
    failed = {"status": "FAIL", "phase": "serve", "error": "RuntimeError: device lost"}
    acquitted = {"status": "PARTIAL", "reason": "they are not what makes it fail", "starts": 1}
    nvidia.answer({**nonsense_when_serving(acquitted), "test_serve_mode": {**SERVE, "reduced": failed}})
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.reduced_stack is not None
    assert not diff.reduced_stack.works
    assert diff.recommended_stack == Stack.BASE
    assert any("without mul does not work when serving" in reason for reason in diff.reasons)


def test_what_is_guilty_when_serving_is_left_out_too_and_the_stack_without_both_is_recommended(
    nvidia: Rig,
) -> None:
    nvidia.answer(nonsense_when_serving(FURTHER))
    result = nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert [(search.phase, search.names) for search in diff.searches] == [
        ("offline", ["mul"]),
        ("serve", ["exp"]),
    ]
    assert diff.reduced_stack is not None
    assert (diff.reduced_stack.works, diff.reduced_stack.operators_off) == (True, ["mul", "exp"])
    recommended = nvidia.document(RecommendedStack, "recommended_stack", "nvidia")
    assert (recommended.recommended_stack, recommended.operators_off) == (Stack.REDUCED, ["mul", "exp"])
    assert recommended.reduced_flags["VLLM_FL_FLAGOS_BLACKLIST"] == "exp,mul,index_put"
    assert nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia").flags == recommended.reduced_flags
    assert result.report is not None
    assert "mul, exp" in result.report.conclusion
    logs = [log for job in diff.jobs for log in job.logs]
    assert len(set(logs)) == len(logs), "no job overwrites the log of another"


def test_both_are_suspected_by_the_next_release_each_where_it_is_not_left_out_already(nvidia: Rig) -> None:
    nvidia.answer(nonsense_when_serving(FURTHER))
    nvidia.run(vendor="nvidia")
    nvidia.run(vendor="nvidia", force=["diff_analysis"])
    said = [text.rpartition("suspects: ")[2] for _, text in nvidia.messages if "suspects: " in text]
    assert said == ["mul, exp", "exp"]


def test_a_further_search_that_had_to_stop_recommends_base_and_keeps_what_was_found(nvidia: Rig) -> None:
    stopped = {"status": "PARTIAL", "reason": "stopped after 40 engine starts", "starts": 40}
    nvidia.answer(nonsense_when_serving(stopped))
    result = nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.recommended_stack, diff.multichip_component) == (Stack.BASE, "FlagGems")
    assert diff.guilty_operators == ["mul"]
    assert diff.reduced_stack is not None
    assert (diff.reduced_stack.works, diff.reduced_stack.operators_off) == (False, ["mul"])
    assert any("stopped after 40 engine starts" in reason for reason in diff.reasons)
    assert result.report is not None
    assert result.report.status == Status.PARTIAL


def test_a_search_that_had_to_stop_recommends_base_and_says_how_far_it_came(nvidia: Rig) -> None:
    stopped = {
        "status": "PARTIAL",
        "reason": "stopped at 40 engine starts",
        "operators": 398,
        "starts": 40,
        "among": ["mul", "mul_"],
    }
    nvidia.answer(answers(search_operators=stopped))
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.recommended_stack == Stack.BASE
    assert diff.reduced_stack is None
    assert any("one of 2 (40 engine starts over 398 operators)" in reason for reason in diff.reasons)


def test_a_stack_that_fails_with_no_operator_on_is_not_blamed_on_flaggems(nvidia: Rig) -> None:
    acquitted = {
        "status": "PARTIAL",
        "reason": "with none of them on it fails in the same way: they are not what makes it fail",
        "operators": 398,
        "starts": 1,
        "trials": [{"number": 1, "operators_on": 0, "outcome": "SAME"}],
    }
    nvidia.answer(answers(search_operators=acquitted))
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.multichip_component, diff.recommended_stack) == ("unknown", Stack.BASE)
    assert any("not what makes it fail" in reason for reason in diff.reasons)


def test_a_search_that_breaks_down_leaves_the_verdict_as_it_was(nvidia: Rig) -> None:
    nvidia.answer(answers(search_operators={"status": "FAIL", "error": "RuntimeError: cannot be listed"}))
    result = nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.recommended_stack) == ("OUTPUT_DIVERGENCE", Stack.BASE)
    assert any("cannot be listed" in reason for reason in diff.reasons)
    assert result.report is not None
    assert result.report.status == Status.PARTIAL


def test_a_deployment_may_forgo_the_search(nvidia: Rig) -> None:
    nvidia.workers["nvidia"]["operator_search"] = {"enabled": False}
    nvidia.answer(answers())
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.multichip_component == "FlagGems"
    assert diff.operator_search is None


def test_an_arm_that_fails_in_another_way_is_not_blamed_for_what_the_full_stack_does(nvidia: Rig) -> None:
    missing = (
        "AttributeError: '_OpNamespace' '_C_cache_ops' object has no attribute 'reshape_and_cache_flash'"
    )
    cannot_start = {"status": "FAIL", "phase": "offline", "error": missing}
    offline = answers()["run_offline_inference"]
    nvidia.answer(answers(run_offline_inference={**offline, "arm-vllm-plugin-fl-offline": cannot_start}))
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert [(arm.arm, arm.verdict) for arm in diff.arms] == [("vllm-plugin-FL", "OTHER")]
    assert diff.multichip_component == "FlagGems"
    assert any("in another way, which does not explain" in reason for reason in diff.reasons)


def test_what_was_guilty_before_is_suspected_first(nvidia: Rig) -> None:
    nvidia.run(vendor="nvidia")
    result = nvidia.run(vendor="nvidia", force=["diff_analysis"])
    assert result.success
    [line] = [text for _, text in nvidia.messages if "suspects: mul" in text]
    assert "40 engine starts" in line
