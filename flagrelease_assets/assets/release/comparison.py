"""`diff_analysis` and `recommended_stack`: what the two runs say together, and the stack that follows.

Belongs here: the two steps, base against itself, the component at fault. Does not belong here: the
judgement of two runs (`container_scripts/diff_analysis.py`) and of statuses (`verdict.py`), operators
(`reduction.py`).
"""

from __future__ import annotations

from typing import Any

from flagrelease_assets.assets.release.against_base import AgainstBase
from flagrelease_assets.assets.release.arms import (
    FLAGGEMS,
    FLAGTREE,
    PLUGIN,
    Culprit,
    FailedRun,
    arm_plan,
    arms_below,
    base_like_plan,
    components_of,
    deciding_phase,
    diverging_phase,
    failed_run,
    find_culprit,
    outputs_of_phase,
    try_arm,
    unstable_prompts,
)
from flagrelease_assets.assets.release.operators import Question
from flagrelease_assets.assets.release.phases import run_phase
from flagrelease_assets.assets.release.reduction import reduce_stack
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment
from flagrelease_assets.assets.release.step import Step, blocked_by_absent
from flagrelease_assets.contracts import DiffAnalysis, InstallStatus, ModelRun, RecommendedStack
from flagrelease_assets.contracts.common import PhaseName, Stack, Status
from flagrelease_assets.contracts.comparison import ArmResult, ControlResult, DiffSummary, RunSummary
from flagrelease_assets.verdict import recommendation_status


def _perform_diff(scope: StepScope) -> DiffAnalysis:
    run_a = scope.upstream_document("run_a_result", ModelRun)
    run_b = scope.upstream_document("run_b_result", ModelRun)
    control, base = None, AgainstBase(run_a)
    analysis = base.analyse(run_b)
    if analysis["conclusion"] == "OUTPUT_DIVERGENCE":
        control = _control(scope, base, diverging_phase(analysis["agreement"]))
        if control.unstable_prompts:
            base = AgainstBase(run_a, frozenset(control.unstable_prompts))
            analysis = base.analyse(run_b)
    known = {name: analysis[name] for name in DiffAnalysis.model_fields if name in analysis}
    found: dict[str, Any] = {**known, "step": scope.step, "reason": analysis["detail"], "control": control}
    if control is not None and control.status == "FAIL":
        found["reasons"] = [*analysis["reasons"], f"no component is blamed: {control.reason}"]
    elif analysis["conclusion"] in ("OUTPUT_DIVERGENCE", "MULTICHIP_ERROR"):
        found |= _blame(scope, base, run_b, analysis)
    return scope.document(DiffAnalysis, **found)


def _control(scope: StepScope, base: AgainstBase, phase: PhaseName) -> ControlResult:
    """Run base once more in the phase whose outputs diverge: control comes before blame."""
    scope.log("the outputs diverge: base runs once more, to know its own spread")
    run_a = base.run_a
    plan = base_like_plan(run_a, scope, StackEnvironment.of_flags(Stack.BASE, run_a.flags), "control")
    report = run_phase(scope, plan, phase)
    first = base.reference(phase).outputs
    second = outputs_of_phase(report.document) if report.document and not report.error else []
    prompts = len({one.get("prompt_id") for one in first} & {one.get("prompt_id") for one in second})
    if not prompts:
        cause = report.error.cause if report.error else "no prompt that both base runs answered"
        reason = f"the control run gave nothing to compare: {cause}"
        return ControlResult(status="FAIL", phase=phase, reason=reason)
    return ControlResult(
        status="PASS", phase=phase, prompts=prompts, unstable_prompts=unstable_prompts(first, second)
    )


def _blame(scope: StepScope, base: AgainstBase, run_b: ModelRun, analysis: dict[str, Any]) -> dict[str, Any]:
    """Find the component, and its operators if it is FlagGems; returns the document's fields that say so."""
    run_a = base.run_a
    phase = deciding_phase(run_a, run_b, analysis["agreement"])
    failed = failed_run(run_b, phase, base.reference(phase))
    results, culprit = _search_arms(scope, run_a, run_b, phase, failed)
    logs_say = analysis["multichip_component"]
    component, why = _component(logs_say, culprit)
    said = [*analysis["reasons"], culprit.detail, why]
    found: dict[str, Any] = {"arms": results, "multichip_component": component, "log_component": logs_say}
    if culprit.component == FLAGGEMS and scope.worker_entry.operator_search.enabled:
        plan = base_like_plan(run_a, scope, StackEnvironment.of_flags(Stack.FULL, run_b.flags), "search")
        ran = run_b.stack_evidence.get(phase, {}).get("flaggems_record") or []
        question = Question(plan, phase, failed.base, failed.behaviour, ran)
        reduction = reduce_stack(scope, question, base, run_b)
        found |= reduction.fields
        said += reduction.said
    return {**found, "reasons": said}


def _search_arms(
    scope: StepScope, run_a: ModelRun, run_b: ModelRun, phase: PhaseName, failed: FailedRun
) -> tuple[list[ArmResult], Culprit]:
    """Run the full stack's parts until one fails as it does."""
    install = scope.upstream_document("install_status", InstallStatus)
    full = components_of(run_b, install)
    arms = arms_below(full)
    limit = scope.timeouts.offline_total if phase == "offline" else scope.timeouts.serve_total
    scope.log(f"looking for the failing arm: at most {len(arms)} runs of {limit:.0f} s each")
    results: list[ArmResult] = []
    for arm in arms:
        results.append(try_arm(scope, arm_plan(run_a, scope, arm, install.flagcx_path), arm, phase, failed))
        scope.log(f"arm {arm.name}: {results[-1].verdict}")
        if results[-1].verdict == "FAIL":
            break
    verdicts = {arm.components: result.verdict for arm, result in zip(arms, results, strict=False)}
    return results, find_culprit(full, verdicts)


def _seed_component(component: str) -> str:
    """Return a component under the name that the analysis document has always used for it."""
    return "plugin" if component == PLUGIN else component


def _component(logs_say: str | None, culprit: Culprit) -> tuple[str, str]:
    """Return the component at fault by arms and logs, and how the two go together."""
    by_arms = _seed_component(culprit.component)
    if logs_say in (None, "unknown"):
        return by_arms, "the logs alone name no component"
    if logs_say == by_arms:
        return by_arms, f"the logs agree: {logs_say}"
    if by_arms == "unknown":
        return logs_say, f"the arms do not decide; the logs name {logs_say}"
    if logs_say == FLAGTREE and by_arms == FLAGGEMS:
        return (
            logs_say,
            "the logs name FlagTree, which compiles FlagGems' kernels: no arm tells the two apart",
        )
    return by_arms, f"the logs alone would name {logs_say}; the arms decide"


def _perform_recommendation(scope: StepScope) -> RecommendedStack:
    run_a = scope.upstream_document("run_a_result", ModelRun)
    run_b = scope.upstream_document("run_b_result", ModelRun)
    diff = scope.upstream_document("diff_analysis", DiffAnalysis)
    reduced = diff.reduced_stack if diff.recommended_stack == Stack.REDUCED else None
    return scope.document(
        RecommendedStack,
        status=recommendation_status(diff.recommended_stack, diff.status),
        reason=diff.detail,
        model_path=run_a.model_path,
        tensor_parallel_size=run_a.tensor_parallel_size,
        recommended_stack=diff.recommended_stack,
        operators_off=reduced.operators_off if reduced else [],
        reduced_flags=reduced.flags if reduced else {},
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
        Stack.REDUCED: f"the full stack works without {_off(diff)}, and not with it",
        Stack.BASE: "only the base stack is proven to work",
        Stack.NONE: "the model does not work even without the multi-chip packages",
    }[diff.recommended_stack]
    return f"{meaning}: {diff.detail}"


def _off(diff: DiffAnalysis) -> str:
    return f"FlagGems' {', '.join(diff.reduced_stack.operators_off)}" if diff.reduced_stack else "nothing"


def _diff_settings(scope: StepScope) -> dict[str, Any]:
    return {"operator search": scope.worker_entry.operator_search.enabled}


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
    settings=_diff_settings,
    kinds=("python", "json"),
)

RECOMMENDED_STACK = Step(
    name="recommended_stack",
    kind=RecommendedStack,
    description="The stack to release with (full, reduced, base or none) and why: the model-verify report.",
    upstream=("run_a_result", "run_b_result", "diff_analysis"),
    gate=blocked_by_absent,
    perform=_perform_recommendation,
    kinds=("python", "json"),
)
