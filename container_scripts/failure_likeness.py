"""Whether two runs of parts of a stack fail alike: what a run did, and whether that is what another did.

Belongs here: reading one phase document, with its log and the base's outputs, as one of four behaviours.
Does not belong here: comparing outputs (output_agreement), identity of errors (error_identity), and what
follows for a component or an operator (diff_analysis, group_testing).

A part explains a failure only if it fails in the same way: an engine that cannot start says nothing of
wrong answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence

from container_scripts.error_identity import same_error
from container_scripts.error_layers import classify_failure
from container_scripts.error_records import RawFailure
from container_scripts.output_agreement import compare_outputs, modes_apart
from container_scripts.run_documents import execution_of, outputs_of, read_run

WORKS = "WORKS"
WRONG_OUTPUTS = "WRONG_OUTPUTS"
ERROR = "ERROR"
UNCLEAR = "UNCLEAR"

OUTPUT_CATEGORIES = frozenset({"empty_or_garbled", "numerical"})
"""Error categories that say: it ran, and what it answered is wrong."""


@dataclass(frozen=True)
class Behaviour:
    """What a run did: WORKS, WRONG_OUTPUTS, ERROR or UNCLEAR, and the words for it."""

    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Reference:
    """What runs are held against: the base's outputs of a phase, and its execution mode if it said one."""

    outputs: Sequence[Mapping[str, Any]]
    execution: Optional[str] = None


def fails_alike(one: Behaviour, other: Behaviour) -> bool:
    """Return whether two failures are the same one: wrong outputs both, or the same error."""
    if one.kind != other.kind:
        return False
    return one.kind == WRONG_OUTPUTS or (one.kind == ERROR and same_error(one.reason, other.reason))


def behaviour_of_failure(category: Optional[str], cause: str) -> Behaviour:
    """Return what a run with this classified error did."""
    return Behaviour(WRONG_OUTPUTS if category in OUTPUT_CATEGORIES else ERROR, cause)


def behaviour_of_outputs(
    base: Reference, outputs: Sequence[Mapping[str, Any]], execution: Optional[str] = None
) -> Behaviour:
    """Return what a run that ended well did, by its outputs for the prompts that ``base`` holds.

    Outputs of another execution mode than the base's show nothing.
    """
    apart = modes_apart(base.execution, execution, "this run")
    if apart:
        return Behaviour(UNCLEAR, apart)
    asked = {output.get("prompt_id") for output in base.outputs}
    agreement = compare_outputs(
        base.outputs, [output for output in outputs if output.get("prompt_id") in asked]
    )
    kinds = {"AGREE": WORKS, "DIVERGE": WRONG_OUTPUTS}
    return Behaviour(kinds.get(agreement.verdict, UNCLEAR), agreement.reason)


def read_behaviour(
    document: Any, log: str, exit_code: Optional[int], timed_out: bool, base: Reference
) -> Behaviour:
    """Return what one run of a phase program did; ``document`` is what it left, None if nothing."""
    run = read_run(document, "probe")
    if run.status == "PASS":
        return behaviour_of_outputs(base, outputs_of(run), execution_of(run))
    failures: List[RawFailure] = list(run.failures)
    said = failures[0] if failures else None
    found = classify_failure(
        RawFailure(
            step="probe",
            phase=None,
            error=said.error if said else None,
            traceback=said.traceback if said else None,
            logs=(("log", log),),
            exit_code=exit_code,
            ended_by="deadline" if timed_out else None,
            category=said.category if said else None,
        )
    )
    return behaviour_of_failure(found.category, found.cause)
