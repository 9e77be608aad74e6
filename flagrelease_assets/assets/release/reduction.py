"""From a full stack that FlagGems makes fail to the largest part of it that works.

Belongs here: which phase is searched and when, the stack without what was found, and how that reads.
Does not belong here: the job of one search and the run of a reduced stack (`operators.py`), which component
fails (`arms.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flagrelease_assets.assets.release.against_base import AgainstBase
from flagrelease_assets.assets.release.arms import deciding_phase, failed_run
from flagrelease_assets.assets.release.operators import (
    Found,
    Question,
    reduced_plan,
    run_reduced,
    search_operators,
)
from flagrelease_assets.assets.release.phases import RunPlan
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import IN_PHASE, PhaseName, Stack, Status
from flagrelease_assets.contracts.operator_search import OperatorSearch, ReducedStack

FAILURES = ("OUTPUT_DIVERGENCE", "MULTICHIP_ERROR")
"""Conclusions that say: base works, and this stack fails."""

NOT_COMPARABLE = "NOT_COMPARABLE"
"""The verdict on outputs that say nothing of each other (`container_scripts/output_agreement.py`)."""


@dataclass(frozen=True)
class Reduction:
    """What the searches came to: fields of the analysis, and sentences."""

    fields: dict[str, Any]
    said: list[str]


@dataclass(frozen=True)
class Attempt:
    """The stack without what was found guilty by now: its run, its judgement, the phase in which it fails."""

    plan: RunPlan
    run: ModelRun
    stack: ReducedStack
    failed_in: PhaseName | None


@dataclass(frozen=True)
class Round:
    """One search, and the attempt that followed if it found the guilty."""

    question: Question
    found: Found
    attempt: Attempt | None


def reduce_stack(scope: StepScope, question: Question, base: AgainstBase, run_b: ModelRun) -> Reduction:
    """Search in the phase that failed, then in the other one if the stack without the guilty fails there.

    That is at most one search in each phase.
    """
    rounds = [_round(scope, question, base, run_b)]
    further = _further_question(rounds[0], base)
    if further:
        rounds.append(_round(scope, further, base, run_b))
    return Reduction(_fields(rounds), [sentence for one in rounds for sentence in _sentences(one)])


def _round(scope: StepScope, question: Question, base: AgainstBase, run_b: ModelRun) -> Round:
    """Search, and run the stack without what was found."""
    found = search_operators(scope, question)
    search = found.search
    if search is None or not search.verified or found.without_guilty is None:
        return Round(question, found, None)
    plan = reduced_plan(question, search)
    run = run_reduced(scope, question, plan, found, run_b)
    analysis = base.analyse(run)
    why_not = _why_not(run, analysis)
    stack = ReducedStack(
        operators_off=[*question.left_out, *search.names],
        flags=plan.stack.flags,
        works=why_not is None,
        conclusion=analysis["conclusion"],
        detail=why_not or analysis["detail"],
        agreement=analysis["agreement"],
    )
    failed = run.status == Status.FAIL or analysis["conclusion"] in FAILURES
    failed_in = deciding_phase(base.run_a, run, stack.agreement) if failed else None
    return Round(question, found, Attempt(plan, run, stack, failed_in))


def _why_not(run: ModelRun, analysis: Mapping[str, Any]) -> str | None:
    """Return why a stack is not proven to work: it has to do so in both phases, with outputs to compare."""
    if analysis["conclusion"] != "BOTH_PASS":
        return str(analysis["detail"])
    if run.status != Status.PASS:
        return run.reason or "a phase failed"
    agreement = analysis["agreement"] or {"verdict": NOT_COMPARABLE, "reason": "there are no outputs"}
    return str(agreement["reason"]) if agreement["verdict"] == NOT_COMPARABLE else None


def _further_question(first: Round, base: AgainstBase) -> Question | None:
    """Return what is to be asked in the other phase; None unless the stack without the guilty fails there."""
    attempt, phase = first.attempt, first.question.other_phase
    if attempt is None or attempt.failed_in != phase:
        return None
    failed, document = failed_run(attempt.run, phase, base.reference(phase)), attempt.run.phase(phase)
    return Question(
        plan=attempt.plan,
        phase=phase,
        base=failed.base,
        failure=failed.behaviour,
        ran=(document.stack_observed.get("flaggems_record") or []) if document else [],
        left_out=tuple(attempt.stack.operators_off),
    )


def _fields(rounds: list[Round]) -> dict[str, Any]:
    """Return what the document keeps: each search, and the last attempt."""
    fields: dict[str, Any] = {}
    for name, one in zip(("operator_search", "further_search"), rounds, strict=False):
        fields[name] = one.found.search
        if one.attempt:
            fields["reduced_stack"] = one.attempt.stack
            if one.attempt.stack.works:
                fields["recommended_stack"] = Stack.REDUCED
    first = rounds[0].found.search
    if first and first.acquits_all:
        fields["multichip_component"] = "unknown"
    return fields


def _sentences(one: Round) -> list[str]:
    """Return what is to be read of a round."""
    search, left_out = one.found.search, one.question.left_out
    words = _search_words(search) if search else one.found.problem or "the search left nothing"
    said = [f"searched on {one.question.in_words}: {words}" if left_out else words]
    if one.attempt and not one.attempt.stack.works:
        said.append(_failure_words(one.attempt))
    if left_out and one.attempt is None:
        said.append(f"what was found before stays: FlagGems' {', '.join(left_out)}")
    return said


def _failure_words(attempt: Attempt) -> str:
    where = f" {IN_PHASE[attempt.failed_in]}" if attempt.failed_in else ""
    names = ", ".join(attempt.stack.operators_off)
    return f"the full stack without {names} does not work{where}: {attempt.stack.detail}"


def _search_words(search: OperatorSearch) -> str:
    """Return in a sentence what a search found."""
    how = f"{search.starts} engine starts over {search.operators} operators"
    if search.verified:
        return f"FlagGems' {search.in_words} is guilty ({how}): {search.reason}"
    if search.names:
        return f"FlagGems' {search.in_words} fails alone, but that is not all ({how}): {search.reason}"
    if search.among:
        return f"the guilty operator is one of {len(search.among)} ({how}): {search.reason}"
    return f"no operator of FlagGems is named ({how}): {search.reason}"
