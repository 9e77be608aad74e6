"""`run_a_result` and `run_b_result`: the target model on the base stack and on the full stack.

Belongs here: the two steps. Does not belong here: phases (`phases.py`), comparison (`comparison.py`).
"""

from __future__ import annotations

from typing import Any

from flagrelease_assets.assets.release.phases import (
    RunPlan,
    RunReport,
    engine_arguments,
    judged,
    run_environment,
    run_phases,
)
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.snapshot import environment_gate
from flagrelease_assets.assets.release.stacks import StackEnvironment, base_environment, full_environment
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.comparison import RecommendedStack
from flagrelease_assets.contracts.install import MULTICHIP_PACKAGES, InstallStatus
from flagrelease_assets.contracts.model_files import ModelSnapshot
from flagrelease_assets.contracts.model_run import EnvVerification, ModelRun
from flagrelease_assets.verdict import run_status

UPSTREAM = ("install_status", "env_verification", "model_snapshot")


def _gate(upstream: Upstream) -> list[Blocker]:
    snapshot = upstream["model_snapshot"]
    if snapshot is None:
        blocked = [Blocker("model_snapshot", "has no stored result")]
    elif snapshot.usable:
        blocked = []
    else:
        blocked = [Blocker("model_snapshot", f"is {snapshot.status}")]
    missing = [] if upstream["install_status"] else [Blocker("install_status", "has no stored result")]
    return [*missing, *environment_gate(upstream), *blocked]


def model_plan(scope: StepScope, stack: StackEnvironment) -> RunPlan:
    """Return the plan of the target model on one stack."""
    snapshot = scope.upstream_document("model_snapshot", ModelSnapshot)
    return RunPlan(snapshot.path, scope.model_entry, snapshot.tensor_parallel_size, stack)


def stack_environment(scope: StepScope, stack: Stack) -> StackEnvironment:
    """Return the environment of a stack on this worker, with what was really installed."""
    if stack == Stack.BASE:
        environment = scope.upstream_document("env_verification", EnvVerification)
        return base_environment(environment.base_variant, environment.vendor_plugin)
    if stack == Stack.REDUCED:
        recommended = scope.upstream_document("recommended_stack", RecommendedStack)
        return StackEnvironment.of_flags(stack, recommended.reduced_flags)
    install = scope.upstream_document("install_status", InstallStatus)
    snapshot = scope.upstream_document("model_snapshot", ModelSnapshot)
    return full_environment(install.flagcx_path, snapshot.tensor_parallel_size)


def run_settings(scope: StepScope, stack: Stack) -> dict[str, Any]:
    """Return what a model run depends on beyond its upstream documents."""
    plan = model_plan(scope, stack_environment(scope, stack))
    return {
        "engine arguments": engine_arguments(scope, plan),
        "environment": run_environment(scope, plan),
        "absent": list(plan.stack.absent),
        "trust remote code": str(plan.entry.trust_remote_code),
    }


def _run(scope: StepScope, stack: Stack) -> ModelRun:
    plan = model_plan(scope, stack_environment(scope, stack))
    report = run_phases(scope, plan)
    status, reason = run_status(report.offline.passed, report.serve.passed, report.errors)
    return scope.document(
        ModelRun,
        status=status,
        reason=reason,
        stack=stack,
        tensor_parallel_size=plan.tensor_parallel_size,
        flags=plan.stack.flags,
        environment=run_environment(scope, plan),
        model_path=plan.model_path,
        phase_a_offline=judged(report.offline),
        phase_b_serve=judged(report.serve),
        output_sample=report.sample,
        stack_evidence=_observed(report),
        errors=report.errors,
    )


def _observed(report: RunReport) -> dict[str, Any]:
    """What both phases saw of the stack that really ran."""
    phases = {"offline": report.offline.document, "serve": report.serve.document}
    return {name: document.stack_observed for name, document in phases.items() if document}


def _perform_a(scope: StepScope) -> ModelRun:
    return _run(scope, Stack.BASE)


def _perform_b(scope: StepScope) -> ModelRun:
    reason = why_no_full_stack(scope.upstream_document("install_status", InstallStatus))
    if reason:
        return scope.document(
            ModelRun,
            status=Status.SKIPPED,
            reason=reason,
            stack=Stack.FULL,
            flags=stack_environment(scope, Stack.FULL).flags,
        )
    return _run(scope, Stack.FULL)


def why_no_full_stack(install: InstallStatus) -> str | None:
    """Return why Run B is skipped, or None if there is a multi-chip stack to run."""
    if install.multichip_installed:
        return None
    packages_by_reason: dict[str, list[str]] = {}
    for key in MULTICHIP_PACKAGES:
        if key in install.packages:
            package = install.packages[key]
            packages_by_reason.setdefault(package.reason or package.status.value, []).append(key)
    reasons = [f"{', '.join(keys)}: {reason}" for reason, keys in packages_by_reason.items()]
    return "no multi-chip packages installed (" + "; ".join(reasons) + ")"


RUN_A_RESULT = Step(
    name="run_a_result",
    kind=ModelRun,
    description=(
        "Run A: the model on the base stack (no plugin, FlagGems off, no FlagCX), offline and served, with "
        "token ids, log-probabilities and evidence of what really ran."
    ),
    upstream=UPSTREAM,
    gate=_gate,
    perform=_perform_a,
    settings=lambda scope: run_settings(scope, Stack.BASE),
    document_fields={"stack": Stack.BASE},
    kinds=("python", "json"),
)

RUN_B_RESULT = Step(
    name="run_b_result",
    kind=ModelRun,
    description=(
        "Run B: the same model, prompts and mode on the full multi-chip stack; SKIPPED with the reason where "
        "no multi-chip package exists."
    ),
    upstream=UPSTREAM,
    gate=_gate,
    perform=_perform_b,
    settings=lambda scope: run_settings(scope, Stack.FULL),
    document_fields={"stack": Stack.FULL},
    kinds=("python", "json"),
)
