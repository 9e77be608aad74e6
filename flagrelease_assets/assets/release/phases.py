"""Running a model in the worker, offline and served: the two phases that three steps are made of.

Belongs here: the command lines of the two phase programs, their deadlines, and their errors.
Does not belong here: which model and which stack (the steps), what a phase checks (the programs).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from container_scripts.engine_caches import caches_of_stack
from flagrelease_assets.assets.release.budget import offline_deadline, serve_deadline
from flagrelease_assets.assets.release.engine_arguments import as_assignments
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment
from flagrelease_assets.contracts.common import ErrorRecord, PhaseName
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.deployment import ModelEntry

SERVER_LOG = "server.log"


@dataclass(frozen=True)
class RunPlan:
    """What is run: a model folder in the worker, how it is split, on which stack."""

    model_path: str
    entry: ModelEntry
    tensor_parallel_size: int
    stack: StackEnvironment
    job_prefix: str = ""


@dataclass(frozen=True)
class RunReport:
    """Both phases of one run."""

    offline: JobReport[PhaseDocument]
    serve: JobReport[PhaseDocument]

    @property
    def errors(self) -> list[ErrorRecord]:
        """The error records of the phases that did not pass."""
        return [error for error in (self.offline.error, self.serve.error) if error]

    @property
    def sample(self) -> str | None:
        """The first text that the model produced."""
        documents = (self.serve.document, self.offline.document)
        return next((document.sample for document in documents if document and document.sample), None)


def run_phases(scope: StepScope, plan: RunPlan) -> RunReport:
    """Run the model offline and served; the second phase runs whatever became of the first."""
    return RunReport(run_offline(scope, plan), run_serve(scope, plan))


def run_phase(scope: StepScope, plan: RunPlan, phase: PhaseName) -> JobReport[PhaseDocument]:
    """Run one phase of a plan."""
    return run_offline(scope, plan) if phase == "offline" else run_serve(scope, plan)


def judged(report: JobReport[PhaseDocument]) -> PhaseDocument | None:
    """Return a phase's document with one status: what its job did wrong after it was written counts."""
    document, error = report.document, report.error
    if document is None or error is None or document.phase_status == "FAIL":
        return document
    return document.model_copy(update={"status": "FAIL", "error": error.cause})


def run_offline(scope: StepScope, plan: RunPlan) -> JobReport[PhaseDocument]:
    """Run the fixed prompts through vLLM's offline engine."""
    return scope.run_job(
        f"{plan.job_prefix}offline",
        "run_offline_inference",
        offline_arguments(scope, plan),
        PhaseDocument,
        deadline_s=offline_deadline(scope.timeouts),
        uses_devices=True,
        idle_s=scope.timeouts.startup_idle,
        env=job_environment(scope, plan),
        env_unset=plan.stack.absent,
    )


def run_serve(scope: StepScope, plan: RunPlan) -> JobReport[PhaseDocument]:
    """Serve the model, wait until it is truly ready, ask it, and stop it."""
    timeouts = scope.timeouts
    return scope.run_job(
        f"{plan.job_prefix}serve",
        "test_serve_mode",
        [*serve_arguments(scope, plan), "--log", f"{{job_dir}}/{SERVER_LOG}"],
        PhaseDocument,
        deadline_s=serve_deadline(timeouts),
        uses_devices=True,
        idle_s=timeouts.serve_idle,
        env=job_environment(scope, plan),
        env_unset=plan.stack.absent,
        logs=(SERVER_LOG,),
    )


def offline_arguments(scope: StepScope, plan: RunPlan, further: Sequence[str] = ()) -> list[str]:
    """Return the command line of the offline phase; ``further`` are engine arguments beyond the plan's."""
    options = as_assignments([*engine_arguments(scope, plan), *further])
    return [
        *_model_arguments(plan),
        *(f"--extra-arg={option}" for option in options),
        *("--timeout", str(scope.timeouts.offline_total)),
    ]


def serve_arguments(scope: StepScope, plan: RunPlan, further: Sequence[str] = ()) -> list[str]:
    """Return the command line of the serve phase but for its log; ``further`` as above."""
    timeouts = scope.timeouts
    return [
        *_model_arguments(plan),
        *(f"--extra-arg={argument}" for argument in [*engine_arguments(scope, plan), *further]),
        *("--health-timeout", str(timeouts.startup)),
        *("--request-timeout", str(timeouts.request)),
        *("--stop-grace", str(timeouts.stop_grace)),
    ]


def engine_arguments(scope: StepScope, plan: RunPlan) -> list[str]:
    """Return the `vllm serve` arguments of this vendor, worker and model, as one argv list."""
    length = plan.entry.max_model_len
    return [
        *scope.vendor_facts.serve_flags,
        *scope.worker_entry.serve_args,
        *(["--dtype", plan.entry.dtype] if plan.entry.dtype != "auto" else []),
        *(["--max-model-len", str(length)] if length else []),
        *plan.entry.vllm_args,
    ]


def run_environment(scope: StepScope, plan: RunPlan) -> dict[str, str]:
    """Return the variables of one run: the vendor's, the worker's, then the stack's, which win."""
    return {**scope.worker_environment, **plan.stack.variables}


def job_environment(scope: StepScope, plan: RunPlan) -> dict[str, str]:
    """Return the variables of a run's job: the run's, and caches that no other stack or release has."""
    variables = run_environment(scope, plan)
    caches = caches_of_stack(scope.worker.work_root, scope.run_id, plan.stack.flags, variables)
    return {**variables, **caches}


def _model_arguments(plan: RunPlan) -> Iterable[str]:
    yield from ("--model", plan.model_path)
    yield from ("--tp", str(plan.tensor_parallel_size))
    yield from ("--stack", plan.stack.stack.value)
    if plan.entry.trust_remote_code:
        yield "--trust-remote-code"
    if not plan.entry.coherent:
        yield "--allow-degenerate"
