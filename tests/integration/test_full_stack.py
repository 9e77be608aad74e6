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
    rig.workers = {"nvidia": rig.local_worker("nvidia")}
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
    nvidia.answer(
        with_full_answers(
            "test_serve_mode", status="FAIL", error="NotImplementedError: bfloat16", traceback=traceback
        )
    )
    nvidia.run(vendor="nvidia")
    diff = nvidia.document(DiffAnalysis, "diff_analysis", "nvidia")
    assert (diff.conclusion, diff.multichip_component) == ("MULTICHIP_ERROR", "FlagGems")
    assert diff.recommended_stack == Stack.BASE
