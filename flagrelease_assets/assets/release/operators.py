"""Finding the guilty operators where FlagGems is what fails, and proving the full stack without them.

Belongs here: the job of a search, what was guilty before, the run of the reduced stack.
Does not belong here: the search itself (`container_scripts/search_operators.py`), which component fails
(`arms.py`), when to search and what follows (`reduction.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from flagrelease_assets.assets.release.budget import offline_deadline, search_deadline, serve_deadline
from flagrelease_assets.assets.release.phases import (
    RunPlan,
    job_environment,
    judged,
    offline_arguments,
    run_phase,
    serve_arguments,
)
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment
from flagrelease_assets.contracts import DiffAnalysis, ModelRun
from flagrelease_assets.contracts.common import IN_PHASE, PhaseName, Stack, Status
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.operator_search import OperatorSearch, OperatorSearchRun
from flagrelease_assets.results.files import StoredResultError

if TYPE_CHECKING:
    from container_scripts.failure_likeness import Behaviour, Reference

LEFT_OUT_VARIABLE = "VLLM_FL_FLAGOS_BLACKLIST"
"""The plugin's variable that names FlagGems functions to leave out, comma-separated.

It replaces the list of the plugin's own vendor file, so that list must be repeated in it.
"""

DISPATCHED = (
    *("attention_backend", "gelu_and_mul", "grouped_topk", "invoke_fused_moe_triton_kernel"),
    *("moe_align_block_size", "moe_sum", "rms_norm", "rotary_embedding", "silu_and_mul", "topk_softmax"),
)
"""Operators that vllm-plugin-FL 0.2 dispatches itself, by its `dispatch/backends/flaggems/register_ops.py`.

Naming one of them takes FlagGems from the plugin's own operators as well, which then need its fallback:
that would be another stack, not a part of this one.
"""


@dataclass(frozen=True)
class Question:
    """What a search is about: a run that fails in one phase, and what base did there.

    ``left_out`` are the operators that an earlier search found guilty: the plan leaves them out already.
    """

    plan: RunPlan
    phase: PhaseName
    base: Reference
    failure: Behaviour
    ran: Sequence[str]
    left_out: tuple[str, ...] = ()

    @property
    def job(self) -> str:
        """The name of the search's job: no other search of the step has it."""
        return f"operator-search-{self.phase}" if self.left_out else "operator-search"

    @property
    def other_phase(self) -> PhaseName:
        """The phase that is not searched."""
        return "serve" if self.phase == "offline" else "offline"

    @property
    def in_words(self) -> str:
        """Where is searched, as people read it."""
        without = f", without {', '.join(self.left_out)}" if self.left_out else ""
        return f"{IN_PHASE[self.phase]}{without}"


@dataclass(frozen=True)
class Found:
    """The outcome of a search: its record, the phase that worked without the guilty, why there is none."""

    search: OperatorSearch | None
    without_guilty: PhaseDocument | None = None
    problem: str | None = None


def search_operators(scope: StepScope, question: Question) -> Found:
    """Search for the guilty operators in the worker, as far as the worker's limits allow."""
    from container_scripts.failure_likeness import UNCLEAR  # brings the judgement of logs with it

    if question.failure.kind == UNCLEAR:
        return Found(None, problem=f"no operator is searched for: {question.failure.reason}")
    settings, phase = scope.worker_entry.operator_search, question.phase
    offline = phase == "offline"
    arguments = (offline_arguments if offline else serve_arguments)(scope, question.plan, settings.vllm_args)
    probe = (offline_deadline if offline else serve_deadline)(scope.timeouts)
    suspects = [name for name in guilty_before(scope) if name not in question.left_out]
    scope.log(
        f"looking for the guilty operators {question.in_words}: "
        f"at most {settings.most_starts} engine starts, {settings.at_once} at once, {settings.total:.0f} s"
        + (f"; suspects: {', '.join(suspects)}" if suspects else "")
    )
    case = {
        "base": list(question.base.outputs),
        "execution": question.base.execution,
        "failure": asdict(question.failure),
        "arguments": arguments,
        "ran": list(question.ran),
        "suspects": suspects,
        "kept": DISPATCHED,
    }
    report = scope.run_job(
        question.job,
        "search_operators",
        [
            *("--case", "{job_dir}/case.json"),
            *("--scratch", "{job_dir}/engines"),
            *("--variable", LEFT_OUT_VARIABLE),
            *("--program", "run_offline_inference" if offline else "test_serve_mode"),
            *("--most-starts", str(settings.most_starts)),
            *("--at-once", str(settings.at_once)),
            *("--probe-timeout", str(probe)),
            *("--timeout", str(settings.total)),
        ],
        OperatorSearchRun,
        deadline_s=search_deadline(scope.timeouts, settings.total),
        uses_devices=True,
        idle_s=search_deadline(scope.timeouts, 0),
        env=job_environment(scope, question.plan),
        env_unset=question.plan.stack.absent,
        inputs={"case.json": json.dumps(case)},
        activity_paths=("{job_dir}/engines",),
    )
    if report.document is None or report.error:
        cause = report.error.cause if report.error else "it left no result"
        return Found(None, problem=f"the search for guilty operators failed: {cause}")
    search = report.document.search.model_copy(update={"phase": phase})
    return Found(search, report.document.without_guilty)


def guilty_before(scope: StepScope) -> list[str]:
    """Return the operators that were found guilty on this vendor, by the newest result of each model."""
    found: list[str] = []
    for vendor, model in scope.store.cells("diff_analysis"):
        if vendor != scope.vendor:
            continue
        try:
            document = scope.store.latest("diff_analysis", vendor, model)
        except StoredResultError as error:
            scope.log(f"earlier findings of {model} are not used: {error}")
            continue
        if isinstance(document, DiffAnalysis):
            found += document.guilty_operators
    return list(dict.fromkeys(found))


def reduced_plan(question: Question, search: OperatorSearch) -> RunPlan:
    """Return the plan of the question's stack without the guilty operators too.

    The search's value names what was left out before as well.
    """
    flags = {**question.plan.stack.flags, search.variable: search.value}
    return replace(
        question.plan, stack=StackEnvironment.of_flags(Stack.REDUCED, flags), job_prefix="reduced-"
    )


def run_reduced(
    scope: StepScope, question: Question, plan: RunPlan, found: Found, run_b: ModelRun
) -> ModelRun:
    """Return the run of the reduced stack: the phase of the search, and the other phase run now."""
    other = question.other_phase
    report = run_phase(scope, plan, other)
    phases = {question.phase: found.without_guilty, other: judged(report)}
    error = report.error.model_copy(update={"phase": other}) if report.error else None
    return run_b.model_copy(
        update={
            "status": Status.FAIL if error else Status.PASS,
            "reason": error.cause if error else None,
            "flags": plan.stack.flags,
            "phase_a_offline": phases["offline"],
            "phase_b_serve": phases["serve"],
            "errors": [error] if error else [],
        }
    )
