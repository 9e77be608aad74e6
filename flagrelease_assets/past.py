"""What is stored of one vendor and model, as judgement looks back on it.

Belongs here: which earlier results are measurements of their own, which may be compared, and with which
documents above them they were measured.
Does not belong here: reading files (`results`), judging what differs (`regression.py`, `drift.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Generic, TypeVar

from flagrelease_assets.contracts import ModelSnapshot, StepDocument
from flagrelease_assets.contracts.common import Status, upstream_input

D = TypeVar("D", bound=StepDocument)


def passed(document: StepDocument) -> bool:
    """Whether a result is PASS."""
    return document.status == Status.PASS


@dataclass(frozen=True)
class Comparable(Generic[D]):
    """The earlier measurements that a result may be held against, oldest first, and why others may not."""

    results: Sequence[D]
    left_out: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def not_counted(self) -> str:
        """How many stored results do not count and why, in brackets; "" if all do."""
        said = [f"{count} with {reason}" for reason, count in self.left_out.items()]
        if self.unreadable:
            said.append(f"{self.unreadable} stored files that cannot be read")
        return f" (not counted: {', '.join(said)})" if said else ""


@dataclass(frozen=True)
class Past:
    """The stored documents of one vendor and model, by step, in any order.

    Attributes:
        documents: every readable document of each step.
        unreadable: stored files of these steps that could not be read.
    """

    documents: Mapping[str, Sequence[StepDocument]]
    unreadable: int = 0

    @cached_property
    def _by_digest(self) -> dict[tuple[str, str], StepDocument]:
        return {(step, item.digest): item for step, items in self.documents.items() for item in items}

    @cached_property
    def _by_run(self) -> dict[tuple[str, str], StepDocument]:
        return {(step, item.run_id): item for step, items in self.documents.items() for item in items}

    def above(self, document: StepDocument, step: str) -> StepDocument | None:
        """Return the document of a step above with which a result was measured, if it is known.

        The fingerprint names it; a result without one was measured with what its own run stored.
        """
        digest = document.fingerprint_inputs.get(upstream_input(step), "")
        return self._by_digest.get((step, digest)) or self._by_run.get((step, document.measured_by_run))

    def model_version(self, document: StepDocument) -> str | None:
        """Return the revision (or the digest of the folder) of the model that a result is of."""
        snapshot = self.above(document, "model_snapshot")
        if not isinstance(snapshot, ModelSnapshot):
            return None
        return snapshot.revision or (snapshot.files.digest if snapshot.files else None)

    def other_model_version(self, one: StepDocument, other: StepDocument) -> str | None:
        """Return that two results are not known to be of the same model version; None if they are."""
        versions = self.model_version(one), self.model_version(other)
        if None in versions:
            return "a model revision that is not known"
        return None if versions[0] == versions[1] else "another model revision"

    def earlier(self, document: D, since: date | None, counts: Callable[[D], bool]) -> list[D]:
        """Return what was measured before a result and counts, each measurement once, oldest first.

        A result that an unchanged release reused is no measurement of its own.
        """
        found: dict[str, D] = {}
        for item in self.documents.get(document.step, ()):
            if (
                isinstance(item, type(document))
                and counts(item)
                and item.measured_by_run != document.measured_by_run
                and item.created_at <= document.created_at
                and (since is None or item.created_at.date() >= since)
            ):
                found.setdefault(item.measured_by_run, item)
        return sorted(found.values(), key=lambda item: (item.created_at, item.measured_by_run))

    def comparable(
        self,
        document: D,
        since: date | None,
        difference: Callable[[D, D], str | None],
        counts: Callable[[D], bool] = passed,
    ) -> Comparable[D]:
        """Return the earlier results that are like with like with a result, and why others are not.

        Args:
            document: the result to be judged.
            since: day (UTC) before which results do not count.
            difference: says in a few words ("another revision") why two results are not alike.
            counts: which results are good enough to be held against.
        """
        alike: list[D] = []
        left_out: Counter[str] = Counter()
        for item in self.earlier(document, since, counts):
            reason = difference(item, document)
            if reason:
                left_out[reason] += 1
            else:
                alike.append(item)
        return Comparable(alike, dict(left_out), self.unreadable)


def last_good(results: Sequence[D], drifted: Callable[[D, D], bool]) -> D | None:
    """Return the newest result that had not itself drifted from what was good before it.

    Without that rule an alert would end by itself one run later, held against the result that it was about.
    A result that cannot be held even against itself is no first one.
    """
    good: D | None = None
    for item in results:
        if not drifted(good or item, item):
            good = item
    return good
