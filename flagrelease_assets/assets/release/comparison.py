"""`diff_analysis` and `recommended_stack`: what the two runs say together, and the stack that follows.

Belongs here: the two steps. Does not belong here: the judgement of two runs
(`container_scripts/diff_analysis.py`) and of statuses (`verdict.py`).
"""

from __future__ import annotations

from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Step, blocked_by_absent
from flagrelease_assets.contracts import DiffAnalysis, ModelRun, RecommendedStack
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.comparison import DiffSummary, RunSummary
from flagrelease_assets.verdict import recommendation_status


def _perform_diff(scope: StepScope) -> DiffAnalysis:
    from container_scripts.diff_analysis import analyse  # brings the judgement of logs with it

    run_a = scope.upstream_document("run_a_result", ModelRun)
    run_b = scope.upstream_document("run_b_result", ModelRun)
    analysis = analyse(run_a.model_dump(mode="json"), run_b.model_dump(mode="json"))
    known = {name: analysis[name] for name in DiffAnalysis.model_fields if name in analysis}
    return scope.document(DiffAnalysis, **{**known, "step": scope.step, "reason": analysis["detail"]})


def _perform_recommendation(scope: StepScope) -> RecommendedStack:
    run_a = scope.upstream_document("run_a_result", ModelRun)
    run_b = scope.upstream_document("run_b_result", ModelRun)
    diff = scope.upstream_document("diff_analysis", DiffAnalysis)
    return scope.document(
        RecommendedStack,
        status=recommendation_status(diff.recommended_stack, diff.conclusion),
        reason=diff.detail,
        model_path=run_a.model_path,
        tensor_parallel_size=run_a.tensor_parallel_size,
        recommended_stack=diff.recommended_stack,
        why=_why(diff),
        run_a_without_multichip=_summary(run_a),
        run_b_with_multichip=_summary(run_b),
        diff_analysis=DiffSummary(
            conclusion=diff.conclusion,
            detail=diff.detail,
            multichip_component=diff.multichip_component,
            recommended_stack=diff.recommended_stack,
        ),
    )


def _summary(run: ModelRun) -> RunSummary:
    return RunSummary(
        flags=run.flags,
        skipped=run.status == Status.SKIPPED,
        phase_a_offline=run.phase_word(run.phase_a_offline),
        phase_b_serve=run.phase_word(run.phase_b_serve),
        output_sample=run.output_sample,
        errors=run.errors,
    )


def _why(diff: DiffAnalysis) -> str:
    meaning = {
        Stack.FULL: "the full stack works",
        Stack.BASE: "only the base stack is proven to work",
        Stack.NONE: "the model does not work even without the multi-chip packages",
    }[diff.recommended_stack]
    return f"{meaning}: {diff.detail}"


DIFF_ANALYSIS = Step(
    name="diff_analysis",
    kind=DiffAnalysis,
    description=(
        "Run A against Run B: same error or not, which component, how far the outputs agree under the "
        "near-tie rule."
    ),
    upstream=("install_status", "run_a_result", "run_b_result"),
    gate=blocked_by_absent,
    perform=_perform_diff,
    kinds=("python", "json"),
)

RECOMMENDED_STACK = Step(
    name="recommended_stack",
    kind=RecommendedStack,
    description="The stack to release with (full, base or none) and why: the model-verify report.",
    upstream=("run_a_result", "run_b_result", "diff_analysis"),
    gate=blocked_by_absent,
    perform=_perform_recommendation,
    kinds=("python", "json"),
)
