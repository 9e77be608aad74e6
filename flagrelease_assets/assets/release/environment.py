"""`env_verification`: does a small model run on this worker at all, without the multi-chip packages?

Belongs here: the smoke test's plan and the status made of its phases.
Does not belong here: the phases themselves (`phases.py`).
"""

from __future__ import annotations

from typing import Any

from flagrelease_assets.assets.release.model_files import prepare_model
from flagrelease_assets.assets.release.phases import RunPlan, engine_arguments, run_environment, run_phases
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import base_environment
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.contracts.install import InstallStatus
from flagrelease_assets.contracts.model_run import EnvVerification
from flagrelease_assets.deployment import ModelEntry


def _gate(upstream: Upstream) -> list[Blocker]:
    install = upstream["install_status"]
    if not isinstance(install, InstallStatus):
        return [Blocker("install_status", "has no stored result")]
    return [] if install.gate_passed else [Blocker("install_status", f"is {install.status}: gate closed")]


def smoke_model(scope: StepScope) -> ModelEntry:
    """Return the small model that this vendor's environment is tested with."""
    return scope.worker_entry.smoke_model or ModelEntry(id=scope.vendor_facts.smoke_model)


def _plan(scope: StepScope, path: str) -> RunPlan:
    return RunPlan(path, smoke_model(scope), tensor_parallel_size=1, stack=base_environment())


def _settings(scope: StepScope) -> dict[str, Any]:
    plan = _plan(scope, "")
    return {
        "smoke model": smoke_model(scope).model_dump(mode="json"),
        "engine arguments": engine_arguments(scope, plan),
        "environment": run_environment(scope, plan),
    }


def _perform(scope: StepScope) -> EnvVerification:
    model = prepare_model(scope, smoke_model(scope))
    name = smoke_model(scope).id
    if model.document is None or model.error:
        errors = [model.error] if model.error else []
        return scope.document(
            EnvVerification,
            status=Status.FAIL,
            smoke_model=name,
            errors=errors,
            reason=errors[0].cause if errors else None,
        )
    plan = _plan(scope, model.document.path or "")
    report = run_phases(scope, plan)
    passed = report.offline.passed and report.serve.passed
    return scope.document(
        EnvVerification,
        status=Status.PASS if passed else Status.FAIL,
        smoke_model=name,
        phase_a="PASS" if report.offline.passed else "FAIL",
        phase_b="PASS" if report.serve.passed else "FAIL",
        fatal=any(error.fatal for error in report.errors),
        environment=run_environment(scope, plan),
        phase_a_offline=report.offline.document,
        phase_b_serve=report.serve.document,
        errors=report.errors,
        reason=report.errors[0].cause if report.errors else None,
    )


ENV_VERIFICATION = Step(
    name="env_verification",
    kind=EnvVerification,
    description=(
        "A smoke test with the vendor's small model, offline and served, FlagGems and FlagCX off: proves "
        "device, torch, engine and serving (layers 0 to 3). Only a fatal error stops the release."
    ),
    upstream=("install_status",),
    gate=_gate,
    perform=_perform,
    settings=_settings,
    shared_by_models=True,
    kinds=("python", "json"),
)
