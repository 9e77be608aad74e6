"""`install_status`: learn the worker, install the five packages of its stack release, prove each.

Belongs here: the order of the install jobs and the status made of their documents.
Does not belong here: how a package is installed (`container_scripts/install_package.py`), versions
(the catalog).
"""

from __future__ import annotations

import json
from typing import Any

from container_scripts.install_methods import checkout_folder
from flagrelease_assets.assets.release.findings import finding
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Step
from flagrelease_assets.catalog import InstallPlan, PackageKey
from flagrelease_assets.contracts.common import ErrorRecord, Status
from flagrelease_assets.contracts.install import (
    MULTICHIP_PACKAGES,
    EnvironmentFacts,
    Installation,
    InstallStatus,
    NetworkChoice,
    NetworkFacts,
    PackageProof,
    PackageResult,
    Validation,
)


def _settings(scope: StepScope) -> dict[str, Any]:
    """What the environment is made of: the worker, the packages in it now, and what should be there."""
    built = [argument for library in _built_libraries(scope) for argument in ("--path", library)]
    identity = scope.observe("worker_identity", built)
    worker = scope.worker_identity.model_dump(mode="json", exclude={"started_at"})
    return {
        "worker": worker,
        "packages": str(identity.get("packages_digest")),
        "boot": str(identity.get("boot_id")),
        "built libraries": identity.get("paths"),
        "stack release": scope.stack_release.id,
        "install plans": {key: plan.model_dump(mode="json") for key, plan in scope.install_plans.items()},
        "pip arguments": scope.worker_entry.pip_args,
        **({"wheelhouse": scope.wheelhouse} if scope.wheelhouse else {}),
    }


def _checkouts(scope: StepScope) -> str:
    """Return the worker's folder of checkouts: the same in every run, so that builds are found again."""
    return f"{scope.worker_entry.work_root}/checkouts"


def _built_libraries(scope: StepScope) -> list[str]:
    """Return the files that the builds of this stack release leave in their checkouts."""
    return [
        f"{checkout_folder(plan.model_dump(), _checkouts(scope))}/{plan.library}"
        for plan in scope.install_plans.values()
        if plan.method == "git_make"
    ]


def _perform(scope: StepScope) -> InstallStatus:
    worker = scope.worker_identity
    scope.log(f"worker: {worker.kind} {worker.name}, image {worker.image or '-'}, {worker.python.executable}")
    scope.log(f"this release needs its worker for {scope.budget}")
    environment = scope.run_job(
        "environment",
        "collect_env_info",
        ["--vendor", scope.vendor, "--path", scope.worker_entry.work_root],
        EnvironmentFacts,
        env=scope.worker_environment,
        deadline_s=scope.timeouts.collect_environment(scope.catalog.probe_limits),
    )
    network = _choose_network(scope)
    plans = scope.install_plans
    installed = {
        key: _install(scope, key, plan, network, installed_python=environment.document)
        for key, plan in plans.items()
    }
    validation = scope.run_job(
        "validate",
        "validate_packages",
        ["--plan", "{job_dir}/plan.json", "--import-timeout", str(scope.timeouts.validate_package)],
        Validation,
        deadline_s=scope.timeouts.validate_packages,
        inputs={"plan.json": _plans_json(plans)},
    )
    return _judge(scope, environment, network, plans, installed, validation)


def _choose_network(scope: StepScope) -> NetworkChoice:
    if scope.wheelhouse:
        return NetworkChoice(reason=f"not asked: packages come from {scope.wheelhouse} in the worker")
    settings = scope.deployment.network
    arguments: list[str] = []
    if settings.github_mirror:
        arguments += ["--github-mirror", settings.github_mirror]
    if settings.pypi_mirror:
        arguments += ["--pypi-mirror", settings.pypi_mirror]
    report = scope.run_job(
        "network", "detect_network", arguments, NetworkFacts, deadline_s=scope.timeouts.probe_network
    )
    seen = report.document
    if seen is None:
        return NetworkChoice(reason=report.error.cause if report.error else None)
    return NetworkChoice(
        github_mirror=seen.github.use_mirror,
        pypi_mirror=seen.pypi.use_mirror,
        github_prefix=seen.github.prefix,
        reason=seen.reason,
    )


def _install(
    scope: StepScope,
    key: PackageKey,
    plan: InstallPlan,
    network: NetworkChoice,
    installed_python: EnvironmentFacts | None,
) -> JobReport[Installation] | None:
    """Install one package; None if the stack release does not have it for this vendor."""
    if plan.method == "not_applicable":
        scope.log(f"{key}: not applicable: {plan.reason}")
        return None
    arguments = [
        *("--package", key),
        *("--plan", "{job_dir}/plan.json"),
        *("--workdir", _checkouts(scope)),
        *("--min-free-gb", str(scope.worker_entry.minimum_free_gb)),
        *("--timeout", str(scope.timeouts.install_package)),
        *(f"--pip-arg={argument}" for argument in _pip_arguments(scope, network)),
    ]
    if scope.wheelhouse:
        arguments += ["--wheelhouse", scope.wheelhouse]
    mirror = scope.deployment.network.github_mirror  # the document's prefix has lost its credentials
    if network.github_mirror and mirror:
        arguments += ["--github-prefix", mirror]
    return scope.run_job(
        f"install-{key}",
        "install_package",
        arguments,
        Installation,
        deadline_s=scope.timeouts.install_total,
        idle_s=scope.timeouts.install_idle,
        inputs={"plan.json": _plans_json({key: plan})},
    )


def _pip_arguments(scope: StepScope, network: NetworkChoice) -> list[str]:
    mirror = scope.deployment.network.pypi_mirror if network.pypi_mirror else None
    return [*scope.worker_entry.pip_args, *(["--index-url", mirror] if mirror else [])]


def _plans_json(plans: dict[PackageKey, InstallPlan]) -> str:
    return json.dumps({key: plan.model_dump(mode="json") for key, plan in plans.items()})


def _judge(
    scope: StepScope,
    environment: JobReport[EnvironmentFacts],
    network: NetworkChoice,
    plans: dict[PackageKey, InstallPlan],
    installed: dict[PackageKey, JobReport[Installation] | None],
    validation: JobReport[Validation],
) -> InstallStatus:
    """Make the step's document: a package counts only if its validation says so."""
    proofs = validation.document.packages if validation.document else {}
    packages: dict[PackageKey, PackageResult] = {}
    errors: list[ErrorRecord] = [environment.error] if environment.error else []
    for key, plan in plans.items():
        report = installed[key]
        packages[key] = _package(plan, report, proofs.get(key))
        if packages[key].status == Status.FAIL and (validation.document or (report and report.error)):
            error = _package_error(scope, key, packages[key], report, plan.gate)
            errors.append(_with_network(error, network))
    if validation.document is None and validation.error:
        errors.append(validation.error.model_copy(update={"fatal": True}))
    gate_passed = all(packages[key].status == Status.PASS for key, plan in plans.items() if plan.gate)
    facts = environment.document
    missing = [key for key, package in packages.items() if _should_be_there(plans[key], package)]
    status = (
        Status.FAIL if not gate_passed else Status.PARTIAL if missing or environment.error else Status.PASS
    )
    return scope.document(
        InstallStatus,
        status=status,
        reason=_reason(gate_passed, packages, missing, errors),
        errors=errors,
        container=scope.worker_identity.name,
        stack_release=scope.stack_release.id,
        network=network,
        wheelhouse=scope.wheelhouse,
        python_version=facts.python_version if facts else None,
        glibc_version=facts.glibc_version if facts else None,
        packages=packages,
        flagcx_path=_flagcx_path(installed, packages),
        gate_passed=gate_passed,
        packages_digest=validation.document.distributions_digest if validation.document else None,
        environment=facts,
        validation=validation.document,
    )


def _package(
    plan: InstallPlan, report: JobReport[Installation] | None, proof: PackageProof | None
) -> PackageResult:
    if plan.method == "not_applicable":
        return PackageResult(status=Status.SKIPPED, reason=plan.reason, action="skipped", gate=plan.gate)
    done = (report.document if report else None) or Installation(status="FAIL")
    proof = proof or PackageProof(status="FAIL")
    status = Status(proof.status) if proof.status in ("PASS", "SKIPPED") else Status.FAIL
    if done.status == "SKIPPED" and status != Status.PASS:
        status = Status.SKIPPED
    elif done.status not in ("PASS", "SKIPPED"):
        status = Status.FAIL
    return PackageResult(
        status=status,
        version=proof.version or done.version,
        provider=proof.provider or done.provider,
        commit=done.commit,
        action=done.action,
        gate=plan.gate,
        reason=done.reason or proof.reason or (report.error.cause if report and report.error else None),
        seconds=done.duration_s or 0.0,
        changed=done.changed,
        preinstalled=done.preinstalled,
    )


def _package_error(
    scope: StepScope,
    key: PackageKey,
    package: PackageResult,
    report: JobReport[Installation] | None,
    gate: bool,
) -> ErrorRecord:
    if report and report.error:
        return report.error.model_copy(update={"fatal": gate})
    cause = package.reason or f"{key} was installed but its validation failed"
    return finding(
        scope.step, cause, category="import", layer="1", component="unknown", phase="validate", fatal=gate
    )


def _with_network(error: ErrorRecord, network: NetworkChoice) -> ErrorRecord:
    """Name the network where it is at fault: pip alone says only that it found no distribution."""
    if error.category != "install" or "pypi" not in (network.reason or ""):
        return error
    cause = f"{error.cause} ({network.reason}): check the worker's network, or set `network.pypi_mirror`"
    return error.model_copy(
        update={"category": "network", "component": "network", "cause": cause, "retryable": True}
    )


def _should_be_there(plan: InstallPlan, package: PackageResult) -> bool:
    return plan.method != "not_applicable" and package.status != Status.PASS


def _reason(
    gate_passed: bool,
    packages: dict[PackageKey, PackageResult],
    missing: list[PackageKey],
    errors: list[ErrorRecord],
) -> str | None:
    if not gate_passed:
        failed = [key for key, package in packages.items() if package.gate and package.status != Status.PASS]
        causes = [error.cause for error in errors if error.fatal]
        return ": ".join([f"gate closed: {', '.join(failed)} not usable", *causes[:1]])
    if missing:
        return f"not usable: {', '.join(missing)}"
    skipped = [key for key in MULTICHIP_PACKAGES if packages[key].status == Status.SKIPPED]
    return f"not applicable on this vendor: {', '.join(skipped)}" if skipped else None


def _flagcx_path(
    installed: dict[PackageKey, JobReport[Installation] | None], packages: dict[PackageKey, PackageResult]
) -> str | None:
    report = installed.get("flagcx")
    if report is None or report.document is None or packages["flagcx"].status != Status.PASS:
        return None
    return report.document.checkout


INSTALL_STATUS = Step(
    name="install_status",
    kind=InstallStatus,
    description=(
        "The five packages of the vendor's stack release (vLLM, FlagTree, FlagGems, FlagCX, vllm-plugin-FL) "
        "in the worker: installed where missing, then proven each in a process of its own. "
        "The gate for everything below."
    ),
    perform=_perform,
    settings=_settings,
    shared_by_models=True,
    reads_stack_release=True,
    kinds=("python", "json"),
)
