"""`release_report`: the final report, which always materializes, whatever became of the steps above.

Belongs here: putting the steps' documents together. Does not belong here: the verdict (`verdict.py`),
Markdown and HTML (`reporting`).
"""

from __future__ import annotations

import shlex
import traceback
from typing import Any

import dagster as dg

from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Step, Upstream
from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
)
from flagrelease_assets.contracts.checks import CheckOutcome, Finding
from flagrelease_assets.contracts.common import ErrorRecord, Stack, Status, StepDocument
from flagrelease_assets.contracts.keys import model_id
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.report import (
    EnvSummary,
    InstallSummary,
    ModelVerifySummary,
    PerfSummary,
    ReportSteps,
    StepLine,
)
from flagrelease_assets.deployment import DeploymentError, Waiver
from flagrelease_assets.release_checks import StoredPast, alerts, judge_release
from flagrelease_assets.results.comparison import last_good_record
from flagrelease_assets.results.rows import row_of
from flagrelease_assets.verdict import CANNOT_PROVE, release_verdict

REPORTED_STEPS = (
    "install_status",
    "env_verification",
    "model_snapshot",
    "run_a_result",
    "run_b_result",
    "diff_analysis",
    "recommended_stack",
    "benchmark_metrics",
    "accuracy_metrics",
)
REPORT_STEP = "release_report"


def assemble_report(scope: StepScope) -> ReleaseReport:
    """Return the final report of the documents above, however few there are."""
    documents = {name: scope.upstream.get(name) for name in REPORTED_STEPS}
    checks, found = _checks(scope, documents)
    verdict = release_verdict(documents, lost_run=scope.lost_run, alerts=found, waivers=_waivers(scope))
    install, snapshot = documents["install_status"], documents["model_snapshot"]
    benchmark = documents["benchmark_metrics"]
    report = scope.document(
        ReleaseReport,
        status=verdict.status,
        reason=verdict.conclusion,
        conclusion=verdict.conclusion,
        findings=verdict.findings,
        notes=verdict.notes,
        waived=verdict.waived,
        waiver_notes=verdict.waivers,
        verdict_without_waivers=verdict.without_waivers,
        checks=checks,
        container=install.container if isinstance(install, InstallStatus) else "",
        worker=install.worker if install else None,
        stack_release=install.stack_release if isinstance(install, InstallStatus) else "",
        model_path=snapshot.path if isinstance(snapshot, ModelSnapshot) else _configured_path(scope),
        model_revision=snapshot.revision if isinstance(snapshot, ModelSnapshot) else None,
        tensor_parallel_size=snapshot.tensor_parallel_size if isinstance(snapshot, ModelSnapshot) else 1,
        steps=_steps(documents),
        step_lines=[_line(name, document) for name, document in documents.items()],
        errors=_errors(documents),
        performance_profiles=_profiles(benchmark),
        reproduce=_reproduce(scope, documents),
        cannot_prove=list(CANNOT_PROVE),
    )
    return _with_last_good(scope, report) if report.status == Status.FAIL else report


def _with_last_good(scope: StepScope, report: ReleaseReport) -> ReleaseReport:
    """Return a failed release's report with what was good last, and what changed since."""
    try:
        rows = scope.store.rows(REPORT_STEP, scope.vendor, scope.model).rows
    except OSError as error:
        scope.log(f"the last good release is not known: {error}")
        return report
    good = last_good_record(rows, row_of(report))
    said = str(good) if good else "there is no earlier good release of this model on this vendor"
    return report.model_copy(update={"last_good": good, "notes": [*report.notes, said]})


def _checks(scope: StepScope, documents: Upstream) -> tuple[list[CheckOutcome], list[Finding]]:
    """Return this release held against its own history; a check that breaks must not cost the report."""
    try:
        settings = scope.deployment.checks
        outcomes = judge_release(documents, StoredPast(scope.store, scope.vendor, scope.model), settings)
        return outcomes, alerts(outcomes, settings)
    except DeploymentError as error:
        cause = str(error)
    except Exception as error:
        scope.log(traceback.format_exc())
        cause = f"{type(error).__name__}: {error}"
    said = f"the release was not held against its history: {cause}"
    return [], [Finding(check="history", text=scope.redactor.text(said), waivable=False, counts=False)]


def _waivers(scope: StepScope) -> list[Waiver]:
    try:
        given = scope.deployment.waivers
    except DeploymentError:  # another finding's matter; nothing is waived by a file that cannot be read
        return []
    return [waiver for waiver in given if waiver.concerns(scope.vendor, scope.model)]


def _configured_path(scope: StepScope) -> str:
    try:
        return scope.model_entry.path or scope.model_entry.id
    except DeploymentError:
        return model_id(scope.model)


def _steps(documents: Upstream) -> ReportSteps:
    install, environment = documents["install_status"], documents["env_verification"]
    recommended, benchmark = documents["recommended_stack"], documents["benchmark_metrics"]
    return ReportSteps(
        install_stack=InstallSummary(
            status=_status(install),
            packages={
                key: {"status": package.status.value, "version": package.version}
                for key, package in (install.packages if isinstance(install, InstallStatus) else {}).items()
            },
        ),
        env_verify=EnvSummary(
            status=_status(environment),
            phase_a=environment.phase_a if isinstance(environment, EnvVerification) else "SKIPPED",
            phase_b=environment.phase_b if isinstance(environment, EnvVerification) else "SKIPPED",
        ),
        model_verify=ModelVerifySummary(
            status=_status(recommended),
            run_a=_status(documents["run_a_result"]),
            run_b=_status(documents["run_b_result"]),
            recommended_stack=(
                recommended.recommended_stack if isinstance(recommended, RecommendedStack) else Stack.NONE
            ),
        ),
        perf_test=PerfSummary(
            status=_status(benchmark),
            profiles_passed=_performance(benchmark, "profiles_passed") or "0/0",
            summary_table=_performance(benchmark, "summary_table"),
        ),
    )


def _status(document: StepDocument | None) -> Status:
    return document.status if document else Status.BLOCKED


def _performance(document: StepDocument | None, field: str) -> str:
    return str(getattr(document.performance, field)) if isinstance(document, BenchmarkMetrics) else ""


def _profiles(document: StepDocument | None) -> list[dict[str, object]]:
    if not isinstance(document, BenchmarkMetrics):
        return []
    return [
        profile.model_dump(
            mode="json", include={"name", "input_len", "output_len", "num_prompts", "status", "metrics"}
        )
        for profile in document.performance.profiles
    ]


def _line(name: str, document: StepDocument | None) -> StepLine:
    if document is None:
        return StepLine(step=name, status="MISSING", reason="no result is stored")
    return StepLine(
        step=name,
        status=document.status,
        reason=document.reason,
        duration_s=document.duration_s,
        reused_from_run=document.reused_from_run,
        blocked_by=document.blocked_by,
    )


def _errors(documents: Upstream) -> list[ErrorRecord]:
    """Return every error once: a comparison repeats the errors of the runs that it compares."""
    found: dict[tuple[str, str | None, str], ErrorRecord] = {}
    for document in documents.values():
        for error in document.errors if document else []:
            found.setdefault((error.step, error.phase, error.cause), error)
    return list(found.values())


def _reproduce(scope: StepScope, documents: Upstream) -> list[str]:
    """Return the commands that repeat this release: the whole, and the server as it was started."""
    commands = [shlex.join(["flagrelease", "release", scope.vendor, scope.model, "--force"])]
    for name in ("run_a_result", "run_b_result"):
        run = documents.get(name)
        if isinstance(run, ModelRun) and run.phase_b_serve:
            commands += _server_command(run, run.phase_b_serve)
    return commands


def _server_command(run: ModelRun, phase: PhaseDocument) -> list[str]:
    """Return the command line that starts a run's server with its exact environment, if it is known."""
    command = phase.model_dump().get("command")
    if not command:
        return []
    variables = [f"{key}={value}" for key, value in run.environment.items()]
    absent = [word for key, value in run.flags.items() if value is None for word in ("-u", key)]
    return [shlex.join(["env", *absent, *variables, *map(str, command)])]


def publish_report(scope: StepScope, report: ReleaseReport) -> dict[str, Any]:
    """Write the report as Markdown and as one HTML page beside the results; returns their metadata."""
    from flagrelease_assets.reporting.html import report_html
    from flagrelease_assets.reporting.markdown import report_markdown

    documents = {name: document for name, document in scope.upstream.items() if document}
    markdown = report_markdown(report, documents)
    page = scope.store.put_text(report_file(report, "html"), report_html(report, documents))
    scope.store.put_text(report_file(report, "md"), markdown)
    return {"report": dg.MetadataValue.md(markdown), "report_page": dg.MetadataValue.path(str(page))}


def report_file(report: ReleaseReport, suffix: str) -> str:
    """Return where a rendering of a report is kept, relative to the results base."""
    return f"reports/{report.vendor}/{report.model}/{report.run_id}.{suffix}"


RELEASE_REPORT = Step(
    name=REPORT_STEP,
    kind=ReleaseReport,
    description=(
        "The final report: verdict, evidence for each claim, errors by layer, performance, versions, how to "
        "reproduce. Always materializes; its `verdict` check turns the run red on FAIL."
    ),
    upstream=REPORTED_STEPS,
    always_runs=True,
    perform=assemble_report,
    document_fields={
        "steps": {
            "install_stack": {"status": "BLOCKED"},
            "env_verify": {"status": "BLOCKED"},
            "model_verify": {"status": "BLOCKED", "run_a": "BLOCKED", "run_b": "BLOCKED"},
            "perf_test": {"status": "BLOCKED"},
        }
    },
    reuse=False,
    publish=publish_report,
    blocking_check="verdict",
    kinds=("markdown", "json"),
)
