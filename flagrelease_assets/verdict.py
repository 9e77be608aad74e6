"""The one place that judges: a run's status, and the verdict of a release with what kept it from PASS.

Belongs here: pure functions from documents to statuses.
Does not belong here: judging errors or outputs (`container_scripts`), rendering, Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import get_args

from flagrelease_assets.benchmark_doubts import only_too_slow
from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
)
from flagrelease_assets.contracts.checks import Finding, WaivedFinding
from flagrelease_assets.contracts.common import (
    Component,
    ErrorRecord,
    Stack,
    Status,
    StepDocument,
    UnreadableResult,
    upstream_input,
    utc_now,
)
from flagrelease_assets.contracts.install import COMPONENT_OF_PACKAGE
from flagrelease_assets.deployment.waivers import Waiver
from flagrelease_assets.regression import FULL_BASE_RATIO
from flagrelease_assets.waivers import weigh

Documents = Mapping[str, StepDocument | None]

LOST_CONCLUSION = "The run was lost or cancelled: release again."
"""The conclusion of a report that was made in the place of a lost run's own."""

# What each kind of evidence of a release cannot show, printed in every report.
CANNOT_PROVE = (
    "Outputs are compared on a few fixed prompts at temperature 0; accuracy on tasks needs an evaluator.",
    "Throughput is measured once or a few times with random prompts, not with a production workload.",
    "One start on one worker does not show how often the stack fails to start.",
)


@dataclass(frozen=True)
class Verdict:
    """The verdict of a release, in a sentence, with what kept it from PASS.

    Attributes:
        status: with the waivers.
        conclusion: one sentence.
        findings: what kept it from PASS.
        notes: alerts of checks that only warn.
        waived: findings and notes that a waiver accepts.
        waivers: what is to be said of waivers that accepted nothing.
        without_waivers: what the status would be without them.
    """

    status: Status
    conclusion: str
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waived: list[WaivedFinding] = field(default_factory=list)
    waivers: list[str] = field(default_factory=list)
    without_waivers: Status | None = None


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
    if isinstance(recommended, RecommendedStack) and recommended.recommended_stack == Stack.REDUCED:
        diff = documents.get("diff_analysis")
        reduced = diff.reduced_stack if isinstance(diff, DiffAnalysis) else None
        if reduced is None or not reduced.works or reduced.flags != recommended.reduced_flags:
            found.append("a reduced stack is recommended that was not seen working")
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


def release_verdict(
    documents: Documents,
    *,
    lost_run: str | None = None,
    alerts: Sequence[Finding] = (),
    waivers: Sequence[Waiver] = (),
    today: date | None = None,
) -> Verdict:
    """Return the verdict of a release from its documents.

    Args:
        documents: the newest document of each step, by name.
        lost_run: the run that ended before it could report, if this report is made in its place.
        alerts: what the checks against earlier results found.
        waivers: those of this vendor and model; they accept findings, and cannot turn a FAIL into anything.
        today: the day (UTC) on which waivers are looked at; the present one if absent.

    PASS: every step passed and the full stack works, or what is less is waived. PARTIAL: the model serves,
    but on a degraded stack or with findings. FAIL: the model cannot serve, a gate is closed, or the
    documents contradict.
    """
    if lost_run:
        lost = f"run {lost_run} ended before its report; what is shown is what was stored until then"
        return _failed(LOST_CONCLUSION, [lost], waivers)
    impossible = contradictions(documents)
    if impossible:
        return _failed("The results contradict each other; nothing is released.", impossible, waivers)
    found = [*_findings(documents), *alerts]
    reason = _why_it_cannot_serve(documents)
    if reason:
        return _failed(f"Not releasable: {reason}.", _counting(found), waivers)
    weighed = weigh(found, waivers, today or utc_now().date())
    findings, waived = _counting(weighed.remaining), weighed.waived
    return Verdict(
        Status.PARTIAL if findings else Status.PASS,
        _conclusion(_stack_words(documents), findings, waived, _blamed(documents.get("diff_analysis"))),
        findings,
        [finding.text for finding in weighed.remaining if not finding.counts],
        waived,
        weighed.said,
        Status.PARTIAL if _counting(found) else Status.PASS,
    )


def _failed(conclusion: str, findings: list[str], waivers: Sequence[Waiver]) -> Verdict:
    said = [f"{len(waivers)} waivers were not looked at: a FAIL cannot be waived"] if waivers else []
    return Verdict(Status.FAIL, conclusion, findings, waivers=said, without_waivers=Status.FAIL)


def _counting(findings: Sequence[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.counts]


def _conclusion(stack: str, findings: list[str], waived: list[WaivedFinding], blamed: str | None) -> str:
    if findings:
        why = f": {blamed} makes the full stack fail" if blamed else ""
        return f"Releasable on the {stack}, with findings{why}."
    if waived:
        return f"Releasable on the {stack}: what was found is waived."
    return "Releasable: every step passed and the full multi-chip stack works."


def _blamed(diff: StepDocument | None) -> str | None:
    """Return what makes a full stack fail where base works: the component, and its operators if known."""
    fails = isinstance(diff, DiffAnalysis) and diff.conclusion in ("OUTPUT_DIVERGENCE", "MULTICHIP_ERROR")
    if not isinstance(diff, DiffAnalysis) or not fails or diff.multichip_component in (None, "unknown"):
        return None
    component = "vllm-plugin-FL" if diff.multichip_component == "plugin" else diff.multichip_component
    operators = ", ".join(diff.guilty_operators)
    return f"{component} ({operators})" if operators else component


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


def _findings(documents: Documents) -> list[Finding]:
    """Return every reason, in the graph's order, why this release is less than PASS."""
    found = []
    for name in ("install_status", "env_verification", "run_a_result", "run_b_result"):
        document = documents.get(name)
        if document is None or document.status != Status.PASS:
            found.append(step_finding(name, document))
        elif isinstance(document, ModelRun) and document.errors:
            said = f"{name}: {document.reason or _first(document.errors)}"
            found.append(Finding(check=name, text=said, components=_components(document)))
    diff = documents.get("diff_analysis")
    if isinstance(diff, DiffAnalysis) and diff.conclusion != "SKIPPED" and diff.status != Status.PASS:
        component = f" ({diff.multichip_component})" if diff.multichip_component else ""
        said = f"diff_analysis: {diff.conclusion}{component}: {'; '.join([diff.detail, *diff.reasons])}"
        found.append(Finding(check="diff_analysis", text=said, components=_components(diff)))
    benchmark = documents.get("benchmark_metrics")
    if benchmark is None or benchmark.status != Status.PASS:
        found.append(step_finding("benchmark_metrics", benchmark))
    found += [Finding(check="outdated", text=text, waivable=False) for text in outdated(documents)]
    accuracy = documents.get("accuracy_metrics")
    if accuracy is not None and accuracy.status in (Status.FAIL, Status.PARTIAL):
        found.append(step_finding("accuracy_metrics", accuracy))
    return found


def step_finding(name: str, document: StepDocument | None) -> Finding:
    """Return the finding that a step is not PASS; one that says that there is no evidence is not waivable."""
    seen = document is not None and not isinstance(document, UnreadableResult)
    only_slow = isinstance(document, BenchmarkMetrics) and only_too_slow(document)
    return Finding(
        check=FULL_BASE_RATIO if only_slow else name,
        text=f"{name}: {_word(document)}: {_why(document)}",
        components=_components(document),
        waivable=seen and document is not None and document.status != Status.BLOCKED,
    )


def _components(document: StepDocument | None) -> list[Component]:
    """Return whose code a finding of a step is about: what was isolated, else what its errors name."""
    if isinstance(document, InstallStatus):
        broken = [key for key, package in document.packages.items() if package.status == Status.FAIL]
        return [COMPONENT_OF_PACKAGE[key] for key in broken]
    if isinstance(document, DiffAnalysis):
        return [name for name in get_args(Component) if name == document.multichip_component]
    return list(dict.fromkeys(error.component for error in document.errors)) if document else []


def _recommended(documents: Documents) -> Stack:
    document = documents.get("recommended_stack")
    return document.recommended_stack if isinstance(document, RecommendedStack) else Stack.NONE


def _stack_words(documents: Documents) -> str:
    document = documents.get("recommended_stack")
    if isinstance(document, RecommendedStack) and document.recommended_stack == Stack.REDUCED:
        return f"full stack without FlagGems' {', '.join(document.operators_off)}"
    return f"{_recommended(documents)} stack"


def _word(document: StepDocument | None) -> str:
    return document.status.value if document else "MISSING"


def _why(document: StepDocument | None) -> str:
    if document is None:
        return "no result"
    return document.reason or _first(document.errors) or f"status {document.status}"


def _first(errors: list[ErrorRecord]) -> str | None:
    return errors[0].cause if errors else None
