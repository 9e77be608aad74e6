"""What is known of one failure: the raw evidence that goes in, the classification and record that come out.

Belongs here: the shapes of evidence and answers, and their JSON form.
Does not belong here: how an answer is found (error_layers).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from container_scripts.log_reading import RaisedException


@dataclass(frozen=True)
class Evidence:
    """One line that proves something: where it stands (``line`` counts from 1) and what it says."""

    source: str
    line: int
    text: str


@dataclass(frozen=True)
class Candidate:
    """One possible answer, with the line that speaks for it."""

    layer: str
    component: str
    category: str
    cause: str


@dataclass(frozen=True)
class Classification:
    """What a text proves about a failure; ``candidates`` are all the answers that were weighed."""

    layer: str
    component: str
    category: str
    cause: str
    fatal: bool
    retryable: bool
    evidence: Tuple[Evidence, ...] = ()
    candidates: Tuple[Candidate, ...] = ()
    exception: Optional[RaisedException] = field(default=None, compare=False)
    matched: str = field(default="", compare=False)

    def to_dict(self) -> Dict[str, Any]:
        """Return the answer as a JSON object."""
        keys = ("layer", "component", "category", "cause", "fatal", "retryable")
        document: Dict[str, Any] = {key: getattr(self, key) for key in keys}
        document["evidence"] = [asdict(item) for item in self.evidence]
        document["candidates"] = [asdict(item) for item in self.candidates]
        return document


@dataclass(frozen=True)
class ErrorRecord:
    """One error of one step, as every ``errors`` list holds them."""

    step: str
    phase: Optional[str]
    layer: str
    component: str
    category: str
    cause: str
    evidence: Tuple[Evidence, ...]
    fatal: bool
    retryable: bool
    ts: str

    def to_dict(self) -> Dict[str, Any]:
        """Return the record as a JSON object."""
        return {**asdict(self), "evidence": [asdict(item) for item in self.evidence]}


@dataclass(frozen=True)
class RawFailure:
    """The raw evidence of a failed step.

    ``logs`` are (source name, text); ``ended_by`` is the supervisor's reason (exited, deadline, idle,
    cancelled, lost, spawn_failed); ``category`` is set where the program already knows what happened.
    """

    step: str
    phase: Optional[str] = None
    error: Optional[str] = None
    traceback: Optional[str] = None
    logs: Tuple[Tuple[str, str], ...] = ()
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    ended_by: Optional[str] = None
    category: Optional[str] = None


def record(failure: RawFailure, found: Classification, ts: str) -> ErrorRecord:
    """Return the error record of a failure that was classified as ``found``."""
    return ErrorRecord(
        step=failure.step,
        phase=failure.phase,
        layer=found.layer,
        component=found.component,
        category=found.category,
        cause=found.cause,
        evidence=found.evidence,
        fatal=found.fatal,
        retryable=found.retryable,
        ts=ts,
    )
