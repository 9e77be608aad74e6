"""The one place that judges: a run's status, and the verdict of a release with what kept it from PASS.

Belongs here: pure functions from documents to statuses.
Does not belong here: judging errors or outputs (`container_scripts`), rendering, Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
)
from flagrelease_assets.contracts.common import ErrorRecord, Stack, Status, StepDocument, upstream_input

Documents = Mapping[str, StepDocument | None]

# What each kind of evidence of a release cannot show, printed in every report.
CANNOT_PROVE = (
    "Outputs are compared on a few fixed prompts at temperature 0; accuracy on tasks needs an evaluator.",
    "Throughput is measured once or a few times with random prompts, not with a production workload.",
    "One start on one worker does not show how often the stack fails to start.",
)


@dataclass(frozen=True)
class Verdict:
    """The verdict of a release, in a sentence, with what kept it from PASS."""

    status: Status
    conclusion: str
    findings: list[str] = field(default_factory=list)


def run_status(
    offline_passed: bool, serve_passed: bool, errors: list[ErrorRecord]
) -> tuple[Status, str | None]:
    """Return the status of a model run and its reason: serving is the product, so serving decides.

    A run whose offline phase alone failed passes with its error kept; the verdict counts it as a finding.
    """
    if serve_passed and offline_passed:
        return Status.PASS, None
    if serve_passed:
        return Status.PASS, f"serves, but the offline phase failed: {_first(errors)}"
    return Status.FAIL, _first(errors)


def recommendation_status(stack: Stack, comparison: Status) -> Status:
    """Return the model-verify status: PASS needs the full stack and a comparison without any doubt."""
    if stack == Stack.NONE:
        return Status.FAIL
    return Status.PASS if stack == Stack.FULL and comparison == Status.PASS else Status.PARTIAL


def contradictions(documents: Documents) -> list[str]:
    """Return what cannot be true together; such a release must not pass."""
    found = []
    recommended, run_b = documents.get("recommended_stack"), documents.get("run_b_result")
    if isinstance(recommended, RecommendedStack) and recommended.recommended_stack == Stack.FULL:
        if run_b is None or run_b.status != Status.PASS:
            found.append("the full stack is recommended although Run B did not pass")
        diff = documents.get("diff_analysis")
        if isinstance(diff, DiffAnalysis) and diff.recommended_stack != Stack.FULL:
            found.append("the recommended stack is not the diff analysis' one")
    install = documents.get("install_status")
    if isinstance(install, InstallStatus) and not install.gate_passed:
        ran = [
            name
            for name, document in documents.items()
            if name != "install_status"
            and document is not None
            and document.run_id == install.run_id
            and document.status in (Status.PASS, Status.PARTIAL)
        ]
        found += [f"{name} ran although the install gate was closed" for name in ran]
    benchmark = documents.get("benchmark_metrics")
    if (
        isinstance(benchmark, BenchmarkMetrics)
        and isinstance(recommended, RecommendedStack)
        and benchmark.status != Status.BLOCKED
        and benchmark.stack not in (recommended.recommended_stack, Stack.NONE)
    ):
        found.append(f"the benchmark ran on {benchmark.stack}, not on {recommended.recommended_stack}")
    return found


def outdated(documents: Documents) -> list[str]:
    """Return which results were measured on another upstream result than the one beside them."""
    found = []
    for name, document in documents.items():
        if document is None or document.status == Status.BLOCKED:
            continue
        found += [
            f"{name} was measured with another result of {above} than the newest: run the release again"
            for above, upstream in documents.items()
            if upstream is not None
            and upstream_input(above) in document.fingerprint_inputs
            and document.fingerprint_inputs[upstream_input(above)] != upstream.digest
        ]
    return found


def release_verdict(documents: Documents, *, lost_run: str | None = None) -> Verdict:
    """Return the verdict of a release from its documents.

    Args:
        documents: the newest document of each step, by name.
        lost_run: the run that ended before it could report, if this report is made in its place.

    PASS: every step passed and the full stack works. PARTIAL: the model serves, but on a degraded stack
    or with findings. FAIL: the model cannot serve, a gate is closed, or the documents contradict.
    """
    if lost_run:
        lost = f"run {lost_run} ended before its report; what is shown is what was stored until then"
        return Verdict(Status.FAIL, "The run was lost or cancelled: release again.", [lost])
    impossible = contradictions(documents)
    if impossible:
        return Verdict(Status.FAIL, "The results contradict each other; nothing is released.", impossible)
    reason = _why_it_cannot_serve(documents)
    if reason:
        return Verdict(Status.FAIL, f"Not releasable: {reason}.", _findings(documents))
    findings = _findings(documents)
    stack = _recommended(documents)
    if not findings:
        return Verdict(Status.PASS, "Releasable: every step passed and the full multi-chip stack works.")
    return Verdict(Status.PARTIAL, f"Releasable on the {stack} stack, with findings.", findings)


def _why_it_cannot_serve(documents: Documents) -> str | None:
    install = documents.get("install_status")
    if not isinstance(install, InstallStatus) or not install.gate_passed:
        return f"the install gate is closed ({_why(install)})"
    environment = documents.get("env_verification")
    if environment is None or environment.status == Status.BLOCKED:
        return "the environment was not verified"
    if isinstance(environment, EnvVerification) and environment.fatal:
        return f"the environment failed fatally ({_why(environment)})"
    snapshot = documents.get("model_snapshot")
    if not isinstance(snapshot, ModelSnapshot) or snapshot.status != Status.PASS:
        return f"the model's files are not usable ({_why(snapshot)})"
    if _recommended(documents) == Stack.NONE:
        return f"no stack can serve the model ({_why(documents.get('run_a_result'))})"
    return None


def _findings(documents: Documents) -> list[str]:
    """Return every reason, in the graph's order, why this release is less than PASS."""
    found = []
    for name in ("install_status", "env_verification", "run_a_result", "run_b_result"):
        document = documents.get(name)
        if document is None or document.status != Status.PASS:
            found.append(f"{name}: {_word(document)}: {_why(document)}")
        elif isinstance(document, ModelRun) and document.errors:
            found.append(f"{name}: {document.reason or _first(document.errors)}")
    diff = documents.get("diff_analysis")
    if isinstance(diff, DiffAnalysis) and diff.conclusion != "SKIPPED" and diff.status != Status.PASS:
        component = f" ({diff.multichip_component})" if diff.multichip_component else ""
        said = "; ".join([diff.detail, *diff.reasons])
        found.append(f"diff_analysis: {diff.conclusion}{component}: {said}")
    benchmark = documents.get("benchmark_metrics")
    if benchmark is None or benchmark.status != Status.PASS:
        found.append(f"benchmark_metrics: {_word(benchmark)}: {_why(benchmark)}")
    found += outdated(documents)
    accuracy = documents.get("accuracy_metrics")
    if accuracy is not None and accuracy.status in (Status.FAIL, Status.PARTIAL):
        found.append(f"accuracy_metrics: {accuracy.status}: {_why(accuracy)}")
    return found


def _recommended(documents: Documents) -> Stack:
    document = documents.get("recommended_stack")
    return document.recommended_stack if isinstance(document, RecommendedStack) else Stack.NONE


def _word(document: StepDocument | None) -> str:
    return document.status.value if document else "MISSING"


def _why(document: StepDocument | None) -> str:
    if document is None:
        return "no result"
    return document.reason or _first(document.errors) or f"status {document.status}"


def _first(errors: list[ErrorRecord]) -> str | None:
    return errors[0].cause if errors else None
