"""Finding the guilty operators where FlagGems is what fails, and proving the full stack without them.

Belongs here: the job of the search, what was guilty before, the verification of the reduced stack.
Does not belong here: the search itself (`container_scripts/search_operators.py`), which component fails
(`arms.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from flagrelease_assets.assets.release.budget import offline_deadline, search_deadline, serve_deadline
from flagrelease_assets.assets.release.phases import (
    RunPlan,
    job_environment,
    offline_arguments,
    run_phase,
    serve_arguments,
)
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment
from flagrelease_assets.contracts import DiffAnalysis, ModelRun
from flagrelease_assets.contracts.common import PhaseName, Stack, Status
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.operator_search import OperatorSearch, OperatorSearchRun
from flagrelease_assets.results.files import StoredResultError

if TYPE_CHECKING:
    from container_scripts.failure_likeness import Behaviour

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
    """What the search is about: a full run that fails in one phase, and the base's outputs for it."""

    plan: RunPlan
    phase: PhaseName
    base: Sequence[Mapping[str, Any]]
    failure: Behaviour
    ran: Sequence[str]


@dataclass(frozen=True)
class Found:
    """The outcome of a search: its record, the phase that worked without the guilty, why there is none."""

    search: OperatorSearch | None
    without_guilty: PhaseDocument | None = None
    problem: str | None = None


def search_operators(scope: StepScope, question: Question) -> Found:
    """Search for the guilty operators in the worker, as far as the worker's limits allow."""
    settings, phase = scope.worker_entry.operator_search, question.phase
    offline = phase == "offline"
    arguments = (offline_arguments if offline else serve_arguments)(scope, question.plan, settings.vllm_args)
    probe = (offline_deadline if offline else serve_deadline)(scope.timeouts)
    suspects = guilty_before(scope)
    scope.log(
        f"looking for the guilty operators: at most {settings.most_starts} engine starts, {settings.at_once} "
        f"at once, {settings.total:.0f} s" + (f"; suspects: {', '.join(suspects)}" if suspects else "")
    )
    case = {
        "base": list(question.base),
        "failure": asdict(question.failure),
        "arguments": arguments,
        "ran": list(question.ran),
        "suspects": suspects,
        "kept": DISPATCHED,
    }
    report = scope.run_job(
        "operator-search",
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
    return Found(report.document.search, report.document.without_guilty)


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
        if isinstance(document, DiffAnalysis) and document.operator_search:
            found += document.operator_search.names
    return list(dict.fromkeys(found))


def reduced_plan(question: Question, search: OperatorSearch) -> RunPlan:
    """Return the plan of the full stack without the guilty operators."""
    flags = {**question.plan.stack.flags, search.variable: search.value}
    return replace(
        question.plan, stack=StackEnvironment.of_flags(Stack.REDUCED, flags), job_prefix="reduced-"
    )


def run_reduced(
    scope: StepScope, question: Question, plan: RunPlan, found: Found, run_b: ModelRun
) -> ModelRun:
    """Return the run of the reduced stack: the phase of the search, and the other phase run now."""
    other: PhaseName = "serve" if question.phase == "offline" else "offline"
    report = run_phase(scope, plan, other)
    phases = {question.phase: found.without_guilty, other: report.document}
    passed = report.error is None
    return run_b.model_copy(
        update={
            "status": Status.PASS if passed else Status.FAIL,
            "reason": None if passed else (report.error.cause if report.error else None),
            "flags": plan.stack.flags,
            "phase_a_offline": phases["offline"],
            "phase_b_serve": phases["serve"],
            "errors": [report.error] if report.error else [],
        }
    )
