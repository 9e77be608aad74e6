"""Finding the failing arm: the full stack taken apart, one component at a time, against the base's outputs.

Belongs here: which arms there are, running them, and what their results say together.
Does not belong here: the conclusion about two runs (`container_scripts/diff_analysis.py`), the
environments of base and full themselves (`stacks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flagrelease_assets.assets.release.phases import RunPlan, run_phase
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import StackEnvironment, arm_environment
from flagrelease_assets.contracts.common import Component, ErrorRecord, PhaseName
from flagrelease_assets.contracts.comparison import ArmResult
from flagrelease_assets.contracts.install import InstallStatus
from flagrelease_assets.contracts.model_run import ModelRun, PhaseDocument

if TYPE_CHECKING:
    from container_scripts.failure_likeness import Behaviour, Reference

PLUGIN: Component = "vllm-plugin-FL"
FLAGGEMS: Component = "FlagGems"
FLAGCX: Component = "FlagCX"
FLAGTREE: Component = "FlagTree"

PHASES: tuple[PhaseName, ...] = ("offline", "serve")
UNDECIDED = ("near_tie", "unknown_gap")
"""Kinds of first differences that do not count as divergence."""

ArmVerdict = Literal["PASS", "FAIL", "OTHER"]


@dataclass(frozen=True)
class Arm:
    """A part of the full stack: the components that are on beside vLLM itself."""

    components: tuple[Component, ...]

    @property
    def name(self) -> str:
        """The arm as people read it."""
        return " + ".join(self.components)


@dataclass(frozen=True)
class FailedRun:
    """How the full stack failed: what base did in the deciding phase, and what the full run did."""

    base: Reference
    behaviour: Behaviour


@dataclass(frozen=True)
class Culprit:
    """What the arms say together: the component, or the pair that fails only together."""

    component: str
    detail: str


def arms_below(full: Sequence[Component]) -> list[Arm]:
    """Return the arms to try below the full stack, smallest first; the full stack itself has failed already.

    The other components work through the plugin, so it is on in every arm: at most three arms.
    """
    arms = [Arm((PLUGIN,))]
    arms += [Arm((PLUGIN, component)) for component in (FLAGGEMS, FLAGCX) if component in full]
    return [arm for arm in arms if set(arm.components) < set(full)]


def components_of(run: ModelRun, install: InstallStatus) -> list[Component]:
    """Return what was on in a full run: the plugin, FlagGems if installed, FlagCX if it took part."""
    present: list[Component] = [PLUGIN]
    if "flaggems" in install.multichip_installed:
        present.append(FLAGGEMS)
    if run.flags.get("FLAGCX_PATH"):
        present.append(FLAGCX)
    return present


def find_culprit(full: Sequence[Component], results: Mapping[tuple[Component, ...], ArmVerdict]) -> Culprit:
    """Return what failed, from the arms below a full stack that is known to fail.

    The first arm that fails as the full stack does names its last component. What the full stack adds to an
    arm that works is guilty, if it is one component; if several are, each with its own arm, they fail only
    together: an interaction. An arm that fails in another way explains nothing: it leaves what no arm had.
    """
    for components, verdict in results.items():
        if verdict == "FAIL":
            return Culprit(components[-1], f"the arm {' + '.join(components)} fails in the same way")
    otherwise = [" + ".join(components) for components, verdict in results.items() if verdict == "OTHER"]
    added_to_working = {
        missing[0]: " + ".join(components)
        for components, verdict in results.items()
        if verdict == "PASS" and len(missing := [one for one in full if one not in components]) == 1
    }
    if len(added_to_working) == 1 and otherwise:
        [(component, below)] = added_to_working.items()
        return Culprit(component, f"{below} works, and the full stack adds {component}")
    tried = {component for components in results for component in components}
    added = [component for component in full if component not in tried]
    if len(added) == 1:
        below = (
            f"{', '.join(otherwise)} alone fails in another way, which does not explain this failure"
            if otherwise
            else "everything below passes"
        )
        return Culprit(added[0], f"{below}, and the full stack adds {added[0]}")
    if otherwise:
        return Culprit("unknown", f"{', '.join(otherwise)} fail in other ways than the full stack")
    pair = " + ".join(component for component in full if component != PLUGIN)
    return Culprit("interaction", f"{pair} pass one by one and fail together")


def deciding_phase(run_a: ModelRun, run_b: ModelRun, agreement: Mapping[str, Any] | None) -> PhaseName:
    """Return the phase that tells the arms apart: which only Run B failed, or in which its outputs part."""
    for phase in PHASES:
        if run_a.phase_word(run_a.phase(phase)) == "PASS" and run_b.phase_word(run_b.phase(phase)) == "FAIL":
            return phase
    return diverging_phase(agreement)


def diverging_phase(agreement: Mapping[str, Any] | None) -> PhaseName:
    """Return the phase of the first output that parts beyond a near tie; offline if none says it."""
    for divergence in (agreement or {}).get("first_divergences", ()):
        if divergence.get("kind") not in UNDECIDED and divergence.get("phase") == "serve":
            return "serve"
        if divergence.get("kind") not in UNDECIDED:
            return "offline"
    return "offline"


def try_arm(scope: StepScope, plan: RunPlan, arm: Arm, phase: PhaseName, failed: FailedRun) -> ArmResult:
    """Run one arm in the deciding phase and judge it: as base does, as the full stack does, or otherwise."""
    from container_scripts.failure_likeness import WORKS, fails_alike

    report = run_phase(scope, plan, phase)
    seen = _behaviour(report.error, report.document, failed.base)
    verdict: ArmVerdict = "FAIL" if fails_alike(failed.behaviour, seen) else "OTHER"
    return ArmResult(
        arm=arm.name,
        components=list(arm.components),
        phase=phase,
        verdict="PASS" if seen.kind == WORKS else verdict,
        reason=None if seen.kind == WORKS else seen.reason,
        flags=plan.stack.flags,
        seconds=scope.jobs[-1].duration_s,
    )


def failed_run(run_b: ModelRun, phase: PhaseName, base: Reference) -> FailedRun:
    """Return how a run failed in a phase."""
    document = run_b.phase(phase)
    error = next((error for error in run_b.errors if error.phase == phase), None)
    return FailedRun(base, _behaviour(error, document, base))


def _behaviour(error: ErrorRecord | None, document: PhaseDocument | None, base: Reference) -> Behaviour:
    from container_scripts import failure_likeness  # brings the judgement of logs with it

    if error:
        return failure_likeness.behaviour_of_failure(error.category, error.cause)
    if document is None:
        return failure_likeness.Behaviour(failure_likeness.ERROR, "it left no result")
    return failure_likeness.behaviour_of_outputs(base, outputs_of_phase(document), document.execution)


def arm_plan(run_a: ModelRun, scope: StepScope, arm: Arm, flagcx_path: str | None) -> RunPlan:
    """Return the plan of an arm: Run A's model and split, with the arm's components on."""
    name = "-".join(["arm", *(component.lower() for component in arm.components)])
    environment = arm_environment(
        flaggems=FLAGGEMS in arm.components, flagcx_path=flagcx_path if FLAGCX in arm.components else None
    )
    return base_like_plan(run_a, scope, environment, name)


def base_like_plan(run_a: ModelRun, scope: StepScope, environment: StackEnvironment, name: str) -> RunPlan:
    """Return a plan with Run A's model and split in another environment."""
    return RunPlan(
        run_a.model_path, scope.model_entry, run_a.tensor_parallel_size, environment, job_prefix=f"{name}-"
    )


def outputs_of_phase(document: PhaseDocument) -> list[dict[str, Any]]:
    """Return the outputs of a phase, whichever it is."""
    return document.outputs or document.requests


def disagreement(base: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why two sets of outputs disagree beyond near ties, or None."""
    from container_scripts.output_agreement import compare_outputs

    agreement = compare_outputs(base, other)
    return agreement.reason if agreement.verdict == "DIVERGE" else None


def unstable_prompts(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the prompts on which a stack disagrees with its own repetition beyond near ties."""
    repeated = {output.get("prompt_id"): output for output in second}
    return [
        str(output.get("prompt_id"))
        for output in first
        if output.get("prompt_id") in repeated and disagreement([output], [repeated[output.get("prompt_id")]])
    ]
