"""A vendor on which the multi-chip stack exists: Run B counts, the ratio is measured, PASS is possible."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.contracts import BenchmarkMetrics, DiffAnalysis, ModelRun, RecommendedStack
from flagrelease_assets.contracts.common import Stack, Status
from tests.doubles.instant_scripts import FULL_STACK, HEALTHY, OUTPUTS
from tests.integration.rig import Rig

GARBAGE = [{**OUTPUTS[0], "text": "!!!!!!!!", "token_ids": [0, 0]}]


@pytest.fixture
def nvidia(rig: Rig) -> Rig:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    rig.answer(FULL_STACK)
    return rig


def with_full_answers(program: str, **changes: Any) -> dict[str, Any]:
    """Return the healthy answers, with Run B's document of one program changed."""
    answers = dict(FULL_STACK[program])
    return {**FULL_STACK, program: {**answers, "full": {**answers["full"], **changes}}}


def test_pass_means_that_the_full_stack_was_seen_working(nvidia: Rig) -> None:
    result = nvidia.run(vendor="nvidia")
    assert result.success
    assert result.report is not None
    assert result.report.status == Status.PASS, result.report.findings
    assert nvidia.document(RecommendedStack, "recommended_stack", "nvidia").recommended_stack == Stack.FULL
    run_b = nvidia.document(ModelRun, "run_b_result", "nvidia")
    assert run_b.flags == {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1", "FLAGCX_PATH": None}


def test_base_is_benchmarked_too_where_full_is_recommended_so_that_there_is_a_ratio(nvidia: Rig) -> None:
    nvidia.run(vendor="nvidia")
    metrics = nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia")
    assert metrics.base_performance is not None
    assert metrics.full_to_base_ratio == 1.0


def test_a_full_run_that_never_loaded_the_plugin_is_not_recommended(nvidia: Rig) -> None:
    nvidia.answer(
        with_full_answers("test_serve_mode", stack_observed=HEALTHY["test_serve_mode"]["stack_observed"])
    )
    result = nvidia.run(vendor="nvidia")
    assert nvidia.document(DiffAnalysis, "diff_analysis", "nvidia").conclusion == "STACK_NOT_ACTIVE"
    assert nvidia.document(RecommendedStack, "recommended_stack", "nvidia").recommended_stack == Stack.BASE
    assert result.report is not None
    assert result.report.status == Status.PARTIAL


def test_a_healthy_server_that_answers_garbage_is_a_divergence_and_base_is_recommended(nvidia: Rig) -> None:
    nvidia.answer(with_full_answers("run_offline_inference", outputs=GARBAGE))
    result = nvidia.run(vendor="nvidia")
    assert nvidia.document(DiffAnalysis, "diff_analysis", "nvidia").conclusion == "OUTPUT_DIVERGENCE"
    assert nvidia.document(BenchmarkMetrics, "benchmark_metrics", "nvidia").stack == Stack.BASE
    assert result.report is not None
    assert result.report.status == Status.PARTIAL


def test_a_full_run_that_fails_in_a_flaggems_frame_names_flaggems(nvidia: Rig) -> None:
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/opt/venv/site-packages/vllm/model_executor/activation.py", line 1, in forward\n'
        "    return op(x)\n"
        '  File "/opt/venv/site-packages/flag_gems/ops/mul.py", line 40, in mul\n'
        "    raise NotImplementedError(dtype)\n"
        "NotImplementedError: bfloat16\n"
    )
    answers = with_full_answers(
        "test_serve_mode", status="FAIL", error="NotImplementedError: bfloat16", traceback=traceback
    )
    healthy_without_flaggems = FULL_STACK["test_serve_mode"]["full"]
    answers["test_serve_mode"] |= {"arm-vllm-plugin-fl-serve": healthy_without_flaggems}
    nvidia.answer(answers)
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.multichip_component) == ("MULTICHIP_ERROR", "FlagGems")
    assert diff.log_component == "FlagGems"
    assert "the logs agree: FlagGems" in diff.reasons
    assert diff.recommended_stack == Stack.BASE


def test_the_arm_that_fails_names_the_component_that_the_logs_do_not(nvidia: Rig) -> None:
    offline = FULL_STACK["run_offline_inference"]
    garbled = {**offline["full"], "outputs": GARBAGE}
    arm_without_flaggems = {**offline["full"], "outputs": OUTPUTS}
    nvidia.answer(
        {
            **FULL_STACK,
            "run_offline_inference": {
                **offline,
                "full": garbled,
                "arm-vllm-plugin-fl-offline": arm_without_flaggems,
            },
        }
    )
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.multichip_component) == ("OUTPUT_DIVERGENCE", "FlagGems")
    assert [(arm.arm, arm.verdict) for arm in diff.arms] == [("vllm-plugin-FL", "PASS")]
    assert diff.control is not None
    assert diff.control.unstable_prompts == []


def test_a_plugin_that_garbles_on_its_own_is_named_without_trying_the_rest(nvidia: Rig) -> None:
    nvidia.answer(with_full_answers("run_offline_inference", outputs=GARBAGE))
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.multichip_component == "plugin"
    assert len(diff.arms) == 1


def test_a_server_that_answers_otherwise_is_repeated_and_taken_apart_as_a_server(nvidia: Rig) -> None:
    serve = FULL_STACK["test_serve_mode"]
    other = [{**OUTPUTS[0], "text": " Lyon.", "token_ids": [5, 6]}]
    nvidia.answer(
        {
            **FULL_STACK,
            "test_serve_mode": {
                **{name: {**document, "requests": OUTPUTS} for name, document in serve.items()},
                "full": {**serve["full"], "requests": other},
                "arm-vllm-plugin-fl-serve": {**serve["full"], "requests": OUTPUTS},
            },
        }
    )
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.multichip_component) == ("OUTPUT_DIVERGENCE", "FlagGems")
    assert diff.control is not None
    assert (diff.control.phase, diff.control.prompts) == ("serve", 1)
    assert [arm.phase for arm in diff.arms] == ["serve"]


def test_a_phase_whose_job_went_wrong_after_its_document_said_pass_has_one_status_everywhere(
    nvidia: Rig,
) -> None:
    program = FULL_STACK["test_serve_mode"]
    nvidia.answer({**FULL_STACK, "test_serve_mode": {**program, "full": {**program["full"], "_exit": 3}}})
    result = nvidia.run(vendor="nvidia")
    run_b = nvidia.document(ModelRun, "run_b_result", "nvidia")
    assert run_b.phase_b_serve is not None
    assert (run_b.status, run_b.phase_b_serve.status) == (Status.FAIL, "FAIL")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.recommended_stack) == ("MULTICHIP_ERROR", Stack.BASE)
    assert result.report is not None
    assert result.report.status == Status.PARTIAL, result.report.conclusion


def test_no_component_is_blamed_for_a_difference_that_base_has_with_itself(nvidia: Rig) -> None:
    other = [{**OUTPUTS[0], "text": " Lyon.", "token_ids": [5, 6]}]
    offline = FULL_STACK["run_offline_inference"]
    nvidia.answer(
        {
            **FULL_STACK,
            "run_offline_inference": {
                **offline,
                "full": {**offline["full"], "outputs": other},
                "control-offline": {**offline["default"], "outputs": other},
            },
        }
    )
    result = nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.control is not None
    assert diff.control.unstable_prompts == ["capital"]
    assert diff.multichip_component is None
    assert diff.arms == []
    assert result.report is not None
    assert result.report.status == Status.PARTIAL, "what cannot be compared is not proven"


def test_a_control_that_fails_blames_nobody(nvidia: Rig) -> None:
    offline = FULL_STACK["run_offline_inference"]
    failed = {"status": "FAIL", "phase": "offline", "error": "RuntimeError: device lost"}
    nvidia.answer(
        {
            **FULL_STACK,
            "run_offline_inference": {
                **offline,
                "full": {**offline["full"], "outputs": GARBAGE},
                "control-offline": failed,
            },
        }
    )
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert diff.arms == []
    assert any("no component is blamed" in reason for reason in diff.reasons)
