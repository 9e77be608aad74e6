"""What a release claims, one claim a step, each with the evidence that is stored for it.

Belongs here: which evidence belongs to which claim.
Does not belong here: whether the claim holds (the step said so in its status), markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flagrelease_assets.contracts import ModelRun, StepDocument
from flagrelease_assets.contracts.benchmark import Performance
from flagrelease_assets.contracts.common import ErrorRecord
from flagrelease_assets.contracts.comparison import ControlResult
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.operator_search import ReducedStack
from flagrelease_assets.reporting.documents import ReleaseDocuments
from flagrelease_assets.reporting.facts import Fact, against_base, facts_of
from flagrelease_assets.reporting.operators import search_accounts
from flagrelease_assets.reporting.text import byte_size, duration, value_text

MISSING = "MISSING"


@dataclass(frozen=True)
class Check:
    """One check of a run's answers; ``ok`` is None where it says nothing."""

    phase: str
    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class Answer:
    """One prompt and what came back."""

    phase: str
    kind: str
    prompt: str
    text: str
    finish_reason: str


@dataclass(frozen=True)
class Excerpt:
    """A piece of a log or traceback."""

    title: str
    text: str


@dataclass(frozen=True)
class Claim:
    """One statement of the release, how it stands, and everything that was stored about it."""

    step: str
    statement: str
    status: str
    reason: str
    facts: tuple[Fact, ...] = ()
    checks: tuple[Check, ...] = ()
    answers: tuple[Answer, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    errors: tuple[ErrorRecord, ...] = ()
    reused_from_run: str | None = None


def claims(release: ReleaseDocuments) -> list[Claim]:
    """Return the claims in the order of the steps; a step without a document is a claim without evidence."""
    return [
        _install(release),
        _environment(release),
        _model_files(release),
        _run("run_a_result", "Run A: the model works on the base stack", release.run_a),
        _run("run_b_result", "Run B: the model works with the multi-chip packages", release.run_b),
        _comparison(release),
        _performance(release),
        _accuracy(release),
    ]


def _control_words(control: ControlResult) -> str:
    """Return what the second base run says of the base's own spread."""
    if control.status != "PASS":
        return control.reason or "failed"
    if control.unstable_prompts:
        return f"disagrees with itself on {', '.join(control.unstable_prompts)}"
    compared = f"all {control.prompts} prompts" if control.prompts else "every prompt"
    return f"agrees with itself on {compared} ({control.phase})"


def _claim(
    step: str,
    statement: str,
    document: StepDocument | None,
    facts: Iterable[Fact] = (),
    phases: Iterable[tuple[str, PhaseDocument | None]] = (),
    excerpts: Iterable[Excerpt] = (),
) -> Claim:
    if document is None:
        return Claim(step, statement, MISSING, "no document of this step is stored: nothing is known")
    ran = [(name, phase) for name, phase in phases if phase]
    return Claim(
        step=step,
        statement=statement,
        status=document.status,
        reason=document.reason or "",
        facts=tuple(facts),
        checks=tuple(check for name, phase in ran for check in _checks(name, phase.checks)),
        answers=tuple(answer for name, phase in ran for answer in _answers(name, phase)),
        excerpts=(*excerpts, *(excerpt for name, phase in ran for excerpt in _excerpts(name, phase))),
        errors=tuple(document.errors),
        reused_from_run=document.reused_from_run,
    )


def _install(release: ReleaseDocuments) -> Claim:
    install, facts, excerpts = release.install, [], []
    if install:
        passed = sum(package.status == "PASS" for package in install.packages.values())
        facts = [
            Fact("stack release", install.stack_release or "(not named)"),
            Fact("packages that passed", f"{passed} of {len(install.packages)}"),
            Fact("required packages there", value_text(install.gate_passed)),
            *facts_of({"FlagCX path": install.flagcx_path, "package set": install.packages_digest}),
            *facts_of(install.network.model_dump(exclude_none=True)),
        ]
        results = [result for result in (install.environment, install.validation) if result]
        excerpts = [Excerpt("traceback", result.traceback) for result in results if result.traceback]
    return _claim("install_status", "The packages are installed and import", install, facts, (), excerpts)


def _environment(release: ReleaseDocuments) -> Claim:
    smoke, facts = release.environment, []
    phases: list[tuple[str, PhaseDocument | None]] = []
    if smoke:
        phases = [("offline", smoke.phase_a_offline), ("serve", smoke.phase_b_serve)]
        facts = [
            Fact("smoke model", smoke.smoke_model or "(not named)"),
            Fact("offline", smoke.phase_a),
            Fact("serve", smoke.phase_b),
            *_variables(smoke.environment),
            *_phase_facts(phases),
        ]
    return _claim("env_verification", "This worker runs vLLM with a small model", smoke, facts, phases)


def _model_files(release: ReleaseDocuments) -> Claim:
    snapshot, facts = release.snapshot, []
    if snapshot:
        facts = [
            Fact("path", snapshot.path or "(none)"),
            Fact("source", snapshot.source or "(none)"),
            Fact("size", f"{byte_size(snapshot.bytes)} in {snapshot.shard_count} shards"),
            Fact("chat template", value_text(snapshot.has_chat_template)),
            Fact("tensor parallel size", str(snapshot.tensor_parallel_size)),
            *facts_of({"tensor parallel reason": snapshot.tensor_parallel_reason}),
            Fact("remote code trusted", value_text(snapshot.trust_remote_code)),
        ]
        if snapshot.files:
            files = snapshot.files
            facts += facts_of({"digest": files.digest, "downloaded": files.downloaded})
            facts += facts_of({f"config {name}": value for name, value in files.config.items()})
    return _claim("model_snapshot", "The model's files are there and complete", snapshot, facts)


def _run(step: str, statement: str, run: ModelRun | None) -> Claim:
    phases: list[tuple[str, PhaseDocument | None]] = []
    facts: list[Fact] = []
    if run:
        phases = [("offline", run.phase_a_offline), ("serve", run.phase_b_serve)]
        facts = [
            Fact("stack", run.stack),
            Fact("tensor parallel size", str(run.tensor_parallel_size)),
            *_variables(run.flags),
            *_phase_facts(phases),
            *facts_of({f"evidence: {name}": value for name, value in run.stack_evidence.items()}),
        ]
    return _claim(step, statement, run, facts, phases)


def _comparison(release: ReleaseDocuments) -> Claim:
    diff, facts = release.diff, []
    if diff:
        facts = [
            Fact("conclusion", diff.conclusion),
            Fact("detail", diff.detail or "(none)"),
            Fact("component", diff.multichip_component or "none named"),
            *(Fact("reason", reason) for reason in diff.reasons),
            *(Fact(f"arm {arm.arm}", f"{arm.verdict}: {arm.reason or 'as base'}") for arm in diff.arms),
            *(Fact("operator search", account.summary) for account in search_accounts(release)),
            *([_reduced_fact(diff.reduced_stack)] if diff.reduced_stack else []),
            *([Fact("base against base", _control_words(diff.control))] if diff.control else []),
            *(Fact("Run A error", error) for error in (diff.run_a_error,) if error),
            *(Fact("Run B error", error) for error in (diff.run_b_error,) if error),
            *facts_of({f"agreement: {name}": value for name, value in (diff.agreement or {}).items()}),
        ]
    return _claim("diff_analysis", "Both runs answer alike", diff, facts)


def _reduced_fact(reduced: ReducedStack) -> Fact:
    works = "works" if reduced.works else "does not work"
    without = ", ".join(reduced.operators_off)
    return Fact(f"full stack without {without}", f"{works}: {reduced.conclusion}, {reduced.detail}")


def _performance(release: ReleaseDocuments) -> Claim:
    benchmark, facts = release.benchmark, []
    if benchmark:
        facts = [
            Fact("stack", benchmark.stack),
            *_variables(benchmark.flags),
            *_performance_facts("", benchmark.performance),
            *_performance_facts("base: ", benchmark.base_performance),
        ]
        if benchmark.full_to_base_ratio is not None:
            facts.append(Fact(f"{benchmark.stack} against base", against_base(release)))
    return _claim("benchmark_metrics", "The recommended stack performs", benchmark, facts)


def _performance_facts(prefix: str, performance: Performance | None) -> list[Fact]:
    if performance is None:
        return []
    return [
        Fact(f"{prefix}profiles passed", performance.profiles_passed),
        Fact(f"{prefix}server start-up", duration(performance.startup_s)),
        *facts_of({f"{prefix}server {name}": value for name, value in performance.server.items()}),
        *(
            Fact(f"{prefix}{profile.name}: engine's own count", _check_words(profile.engine_check))
            for profile in performance.profiles
            if profile.engine_check
        ),
    ]


def _check_words(check: Mapping[str, Any]) -> str:
    return "; ".join([str(check.get("status")), *map(str, check.get("findings") or [])])


def _accuracy(release: ReleaseDocuments) -> Claim:
    accuracy, facts = release.accuracy, []
    if accuracy:
        facts = [Fact("evaluator", accuracy.evaluator or "none configured"), *facts_of(accuracy.scores)]
    return _claim("accuracy_metrics", "The model answers as accurately as it should", accuracy, facts)


def _variables(variables: Mapping[str, str | None]) -> list[Fact]:
    return [
        Fact(name, "absent" if value is None else value or "(set, empty)")
        for name, value in variables.items()
    ]


def _phase_facts(phases: Iterable[tuple[str, PhaseDocument | None]]) -> list[Fact]:
    facts = []
    for name, phase in phases:
        if phase is None:
            facts.append(Fact(f"{name} phase", "did not run"))
            continue
        reached = f", reached stage {phase.stage_reached}" if phase.stage_reached else ""
        total = phase.duration_s if phase.duration_s is not None else phase.timings_s.get("total")
        facts.append(Fact(f"{name} phase", f"{phase.status} in {duration(total)}{reached}"))
        if phase.startup_s is not None:
            facts.append(Fact(f"{name} start-up", duration(phase.startup_s)))
        facts += facts_of({f"{name} saw: {key}": value for key, value in phase.stack_observed.items()})
        if phase.error:
            facts.append(Fact(f"{name} error", phase.error))
    return facts


def _checks(phase: str, checks: Mapping[str, Any]) -> list[Check]:
    return [_check(phase, name.replace("_", " "), check) for name, check in checks.items()]


def _check(phase: str, name: str, check: Any) -> Check:
    if not isinstance(check, dict):
        return Check(phase, name, None, value_text(check))
    ok = check.get("ok")
    return Check(phase, name, ok if isinstance(ok, bool) else None, value_text(check.get("detail")))


def _answers(phase: str, document: PhaseDocument) -> list[Answer]:
    return [
        Answer(
            phase,
            str(item.get("kind") or ""),
            str(item.get("prompt") or item.get("prompt_id") or ""),
            str(item.get("text") or ""),
            str(item.get("finish_reason") or item.get("error") or item.get("skipped") or ""),
        )
        for item in [*document.outputs, *document.requests]
    ]


def _excerpts(phase: str, document: PhaseDocument) -> list[Excerpt]:
    log_tail = (document.model_extra or {}).get("log_tail")
    tail = "\n".join(map(str, log_tail)) if isinstance(log_tail, list) else str(log_tail or "")
    pieces = (
        Excerpt(f"{phase}: traceback", document.traceback or ""),
        Excerpt(f"{phase}: end of the log", tail),
    )
    return [piece for piece in pieces if piece.text]
