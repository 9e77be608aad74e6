"""`env_verification`: does a small model run on this worker at all, without the multi-chip packages?

Belongs here: the smoke test's plan and the status made of its phases.
Does not belong here: the phases themselves (`phases.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flagrelease_assets.assets.release.model_files import prepare_model
from flagrelease_assets.assets.release.phases import (
    RunPlan,
    RunReport,
    engine_arguments,
    run_environment,
    run_phases,
)
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment, base_environment
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream
from flagrelease_assets.catalog import BaseVariant
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.contracts.install import InstallStatus
from flagrelease_assets.contracts.model_run import BaseAttempt, EnvVerification
from flagrelease_assets.deployment import ModelEntry


def _gate(upstream: Upstream) -> list[Blocker]:
    install = upstream["install_status"]
    if not isinstance(install, InstallStatus):
        return [Blocker("install_status", "has no stored result")]
    return [] if install.gate_passed else [Blocker("install_status", f"is {install.status}: gate closed")]


def smoke_model(scope: StepScope) -> ModelEntry:
    """Return the small model that this vendor's environment is tested with."""
    return scope.worker_entry.smoke_model or ModelEntry(id=scope.vendor_facts.smoke_model)


@dataclass(frozen=True)
class _Base:
    """One way to have a base on this chip."""

    variant: BaseVariant
    vendor_plugin: str | None = None

    @property
    def stack(self) -> StackEnvironment:
        return base_environment(self.variant, self.vendor_plugin)


def _plan(scope: StepScope, path: str, base: _Base) -> RunPlan:
    return RunPlan(
        path,
        smoke_model(scope),
        tensor_parallel_size=1,
        stack=base.stack,
        job_prefix="" if base.variant == "no_plugin" else f"{base.variant}-",
    )


def _settings(scope: StepScope) -> dict[str, Any]:
    plan = _plan(scope, "", _Base(scope.vendor_facts.base_variants[0]))
    return {
        "smoke model": smoke_model(scope).model_dump(mode="json"),
        "engine arguments": engine_arguments(scope, plan),
        "environment": run_environment(scope, plan),
        "base variants": list(scope.vendor_facts.base_variants),
    }


def _bases(scope: StepScope) -> list[_Base]:
    """Return the ways to have a base that this vendor and worker allow, in the order to try."""
    wanted = scope.vendor_facts.base_variants
    if len(wanted) == 1:
        return [_Base(wanted[0])]
    plugins = sorted(scope.observe("worker_identity").get("platform_plugins") or [])
    vendors_own = next((name for name in plugins if name != "fl"), None)
    possible = {
        "no_plugin": True,
        "vendor_plugin": vendors_own is not None,
        "fl_without_flaggems": "fl" in plugins,
    }
    return [_Base(variant, vendors_own) for variant in wanted if possible[variant]] or [_Base(wanted[0])]


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
    attempts: list[BaseAttempt] = []
    for base in _bases(scope):
        plan = _plan(scope, model.document.path or "", base)
        report = run_phases(scope, plan)
        attempts.append(_attempt(base, report))
        if attempts[-1].status == "PASS":
            break
        scope.log(f"base variant {base.variant} does not work: {attempts[-1].reason}")
    passed = attempts[-1].status == "PASS"
    return scope.document(
        EnvVerification,
        status=Status.PASS if passed else Status.FAIL,
        smoke_model=name,
        phase_a="PASS" if report.offline.passed else "FAIL",
        phase_b="PASS" if report.serve.passed else "FAIL",
        fatal=any(error.fatal for error in report.errors),
        base_variant=base.variant,
        vendor_plugin=base.vendor_plugin if base.variant == "vendor_plugin" else None,
        base_attempts=attempts,
        environment=run_environment(scope, plan),
        phase_a_offline=report.offline.document,
        phase_b_serve=report.serve.document,
        errors=report.errors,
        reason=report.errors[0].cause if report.errors else None,
    )


def _attempt(base: _Base, report: RunReport) -> BaseAttempt:
    return BaseAttempt(
        variant=base.variant,
        plugins=base.stack.variables["VLLM_PLUGINS"],
        status="PASS" if report.offline.passed and report.serve.passed else "FAIL",
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
