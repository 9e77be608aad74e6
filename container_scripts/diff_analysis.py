"""Compare a base run (A) with a full run (B): the conclusion, the component at fault, the stack to use.

Belongs here: the truth table of two runs.
Does not belong here: reading documents (run_documents), classifying errors (error_layers), comparing
outputs (output_agreement).
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.document import Document, run_program, utc_now
from container_scripts.error_identity import identity_of, same_identity
from container_scripts.error_layers import classify_failure
from container_scripts.error_records import Classification, RawFailure, record
from container_scripts.error_vocabulary import MULTICHIP_COMPONENTS, PLUGIN, UNKNOWN
from container_scripts.failure_likeness import OUTPUT_CATEGORIES
from container_scripts.output_agreement import (
    THRESHOLD_NAT,
    Agreement,
    compare_phases,
    modes_apart,
    not_compared,
)
from container_scripts.run_documents import (
    Run,
    comparable_outputs,
    execution_of,
    foreign_parts,
    inactive_parts,
    load_document,
    outputs_of,
    promises_outputs,
    read_run,
)

RUN_A, RUN_B = "run_a_result", "run_b_result"


@dataclass(frozen=True)
class Conclusion:
    """What two runs mean together."""

    conclusion: str
    status: str
    recommended_stack: str
    detail: str
    component: Optional[str] = None
    reasons: Tuple[str, ...] = ()
    agreement: Optional[Agreement] = None


@dataclass(frozen=True)
class _Judged:
    """A run with its failures classified."""

    run: Run
    errors: Tuple[Tuple[RawFailure, Classification], ...] = field(default=())


def analyse(run_a: Any, run_b: Any, threshold_nat: float = THRESHOLD_NAT) -> Document:
    """Return the analysis document of two run documents; pure, and never raises on malformed input."""
    a, b = _judge(run_a, RUN_A), _judge(run_b, RUN_B)
    found = _conclude(a, b, threshold_nat)
    now = utc_now()
    return {
        "status": found.status,
        "conclusion": found.conclusion,
        "detail": found.detail,
        "recommended_stack": found.recommended_stack,
        "run_a_status": a.run.status,
        "run_b_status": b.run.status,
        "run_a_error": a.run.error,
        "run_b_error": b.run.error,
        "multichip_component": found.component,
        "reasons": [*a.run.reasons, *b.run.reasons, *found.reasons],
        "agreement": found.agreement.to_dict() if found.agreement else None,
        "errors": [record(raw, one, now).to_dict() for raw, one in (*a.errors, *b.errors)],
    }


def _judge(document: Any, step: str) -> _Judged:
    """Return a run with its failures classified."""
    run = read_run(document, step)
    return _Judged(run, tuple((failure, classify_failure(failure)) for failure in run.failures))


def _conclude(a: _Judged, b: _Judged, threshold_nat: float) -> Conclusion:
    """Return the conclusion by the truth table of the two statuses."""
    statuses = (a.run.status, b.run.status)
    if "MISSING" in statuses:
        return _missing(*statuses)
    if "SKIPPED" in statuses:
        return _skipped(*statuses)
    if statuses == ("PASS", "PASS"):
        return _both_pass(a.run, b.run, threshold_nat)
    if statuses == ("PASS", "FAIL"):
        return _answers_wrongly(a, b, threshold_nat) if _only_outputs_failed(b) else _multichip_error(b)
    if statuses == ("FAIL", "PASS"):
        inactive = inactive_parts(b.run)
        if inactive:
            return _not_active(inactive, "FAIL", "none")
        return Conclusion(
            "UNEXPECTED",
            "PARTIAL",
            "full",
            "the base run fails and the full run passes: use full, investigate base",
        )
    return _both_fail(a, b)


def _missing(status_a: str, status_b: str) -> Conclusion:
    """Return the conclusion where a run left no usable result."""
    names = [name for name, status in (("A", status_a), ("B", status_b)) if status == "MISSING"]
    works = status_a == "PASS"
    return Conclusion(
        "MISSING_RESULT",
        "PARTIAL" if works else "FAIL",
        "base" if works else "none",
        f"run {' and '.join(names)} left no usable result (layer X)",
    )


def _skipped(status_a: str, status_b: str) -> Conclusion:
    """Return the conclusion where a run was not done."""
    if status_b == "SKIPPED":
        works, stack, detail = status_a == "PASS", "base", "the full run was skipped"
    else:
        works, stack, detail = status_b == "PASS", "full", "there is no base run on this chip"
    return Conclusion("SKIPPED", "PARTIAL" if works else "FAIL", stack if works else "none", detail)


def _not_active(inactive: List[Tuple[str, str]], status: str, stack: str) -> Conclusion:
    """Return the conclusion where a full run passed without evidence that it was full."""
    component, what = inactive[0]
    reasons = tuple(f"{part}: {missing}" for part, missing in inactive)
    return Conclusion("STACK_NOT_ACTIVE", status, stack, what, _seed_name(component), reasons)


def _both_pass(a: Run, b: Run, threshold_nat: float) -> Conclusion:
    """Return the conclusion of two passes: was the stack active, do the outputs agree?"""
    inactive = inactive_parts(b)
    if inactive:
        return _not_active(inactive, "PARTIAL", "base")
    expected = bool(outputs_of(a) or outputs_of(b)) or promises_outputs(a) or promises_outputs(b)
    agreement = _agreement(a, b, threshold_nat) if expected else None
    reasons = foreign_parts(a)
    if agreement is None:
        reasons.append("outputs were not compared: neither document holds any")
    elif agreement.verdict == "DIVERGE":
        return Conclusion(
            "OUTPUT_DIVERGENCE", "PARTIAL", "base", agreement.reason, UNKNOWN, tuple(reasons), agreement
        )
    elif agreement.verdict == "NOT_COMPARABLE":
        reasons.append(f"outputs could not be compared: {agreement.reason}")
    elif agreement.near_ties:
        reasons.append(agreement.reason)
    doubtful = foreign_parts(a) or (agreement is not None and agreement.verdict != "AGREE")
    incomplete = bool(a.failures or b.failures or a.reasons or b.reasons)
    return Conclusion(
        "BOTH_PASS",
        "PARTIAL" if doubtful or incomplete else "PASS",
        "full",
        "the full stack works",
        None,
        tuple(reasons),
        agreement,
    )


def _agreement(a: Run, b: Run, threshold_nat: float) -> Agreement:
    """Return how the outputs agree; those of two execution modes are never compared."""
    apart = modes_apart(execution_of(a), execution_of(b))
    if apart:
        return not_compared(apart, threshold_nat)
    return compare_phases(comparable_outputs(a, b), threshold_nat)


def _only_outputs_failed(judged: _Judged) -> bool:
    """Return whether a run did all it had to, and failed by what it answered."""
    return all(found.category in OUTPUT_CATEGORIES for _, found in judged.errors)


def _answers_wrongly(a: _Judged, b: _Judged, threshold_nat: float) -> Conclusion:
    """Return the conclusion where the full run's answers are no answers, and the base's are."""
    return Conclusion(
        "OUTPUT_DIVERGENCE",
        "PARTIAL",
        "base",
        f"base answers, full answers nonsense: {_decisive(b).cause}",
        UNKNOWN,
        agreement=_agreement(a.run, b.run, threshold_nat),
    )


def _multichip_error(b: _Judged) -> Conclusion:
    """Return the conclusion where only the full run fails."""
    found = _decisive(b)
    component = found.component if found.component in MULTICHIP_COMPONENTS else UNKNOWN
    reasons = []
    if component == UNKNOWN and found.component != UNKNOWN:
        reasons.append(f"the log blames {found.component} (layer {found.layer}, {found.category})")
    if found.layer == "X":
        reasons.append(
            f"the failure is the harness's ({found.category}), not proven to be the stack's: retry"
        )
    return Conclusion(
        "MULTICHIP_ERROR",
        "PARTIAL",
        "base",
        f"base works, full fails: {found.cause}",
        _seed_name(component),
        tuple(reasons),
    )


def _both_fail(a: _Judged, b: _Judged) -> Conclusion:
    """Return the conclusion where both runs fail: one error or two, compared phase by phase."""
    errors_a, errors_b = _by_phase(a), _by_phase(b)
    common = [phase for phase in errors_a if phase in errors_b]
    pairs = [(errors_a[phase], errors_b[phase]) for phase in common] or [(_decisive(a), _decisive(b))]
    if all(one.category == "result_missing" for pair in pairs for one in pair):
        return Conclusion("MISSING_RESULT", "FAIL", "none", "both runs fail and recorded no error (layer X)")
    same = all(same_identity(identity_of(one), identity_of(two)) for one, two in pairs)
    one, two = pairs[-1]
    if same:
        return Conclusion("SAME_ERROR", "FAIL", "none", f"base and full fail alike: {one.cause}")
    component = two.component if two.component in MULTICHIP_COMPONENTS else None
    return Conclusion(
        "DIFFERENT_ERRORS",
        "FAIL",
        "none",
        f"base fails with: {one.cause}; full fails with: {two.cause}",
        _seed_name(component) if component else None,
    )


def _by_phase(judged: _Judged) -> Dict[Optional[str], Classification]:
    return {raw.phase: found for raw, found in judged.errors}


def _decisive(judged: _Judged) -> Classification:
    """Return the error that says most about a run: the first with a component, else the first."""
    found: List[Classification] = [one for _, one in judged.errors]
    return next((one for one in found if one.component != UNKNOWN), found[0])


def _seed_name(component: str) -> str:
    """Return a component as the analysis document names it."""
    return "plugin" if component == PLUGIN else component


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(prog="diff_analysis", description=__doc__.splitlines()[0])
    parser.add_argument("--run-a", required=True, metavar="FILE", help="document of the base run")
    parser.add_argument("--run-b", required=True, metavar="FILE", help="document of the full run")
    parser.add_argument(
        "--threshold-nat", type=float, default=THRESHOLD_NAT, help="largest top-2 gap of a near tie"
    )
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Return the analysis of the two files that were named."""
    run_a, run_b = load_document(arguments.run_a), load_document(arguments.run_b)
    return analyse(run_a, run_b, arguments.threshold_nat)


def main() -> int:
    """Run the program; the exit code is 0 whenever there is an answer, whatever it says."""
    run_program("diff_analysis", build_parser(), observe)
    return 0


if __name__ == "__main__":
    sys.exit(main())
