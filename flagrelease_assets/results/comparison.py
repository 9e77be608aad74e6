"""Two results side by side: which inputs differ, whether like is compared with like, how the figures moved.

Belongs here: pure comparison of rows, and the last good release of a cell.
Does not belong here: judging a difference against noise (`regression.py`), how it is shown (`reporting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from flagrelease_assets.contracts.common import Status
from flagrelease_assets.contracts.report import InputChange, LastGood
from flagrelease_assets.results.rows import KEPT_METRICS, Metrics, ResultRow

_INPUTS = {
    "worker": "container",
    "image": "image",
    "image id": "image_id",
    "stack release": "stack_release",
    "model revision": "model_revision",
    "tensor parallel size": "tensor_parallel_size",
}
_ABSENT = "none"


class MetricChange(BaseModel):
    """One metric of one profile in both results; None where it was not measured."""

    model_config = ConfigDict(frozen=True)

    profile: str
    metric: str
    before: float | None
    after: float | None

    @property
    def change_percent(self) -> float | None:
        """How far the number moved in per cent; positive means that it grew."""
        if self.before in (None, 0) or self.after is None or self.before is None:
            return None
        return (self.after / self.before - 1) * 100


class Comparison(BaseModel):
    """A result against an earlier or another one."""

    before: ResultRow
    after: ResultRow
    inputs_changed: list[InputChange] = Field(
        description="What the results were measured on, where it differs."
    )
    not_alike: list[str] = Field(description="Why the figures may not be compared as they are.")
    metrics: list[MetricChange]


def compare_rows(before: ResultRow, after: ResultRow) -> Comparison:
    """Return what differs between two results of the same step."""
    return Comparison(
        before=before,
        after=after,
        inputs_changed=changed_inputs(before, after),
        not_alike=_not_alike(before, after),
        metrics=_metric_changes(before.profiles, after.profiles),
    )


def changed_inputs(before: ResultRow, after: ResultRow) -> list[InputChange]:
    """Return the inputs of two results that differ: worker, image, stack release, revision, packages."""
    pairs = [(name, getattr(before, field), getattr(after, field)) for name, field in _INPUTS.items()]
    names = sorted({*before.packages, *after.packages})
    pairs += [(name, before.packages.get(name), after.packages.get(name)) for name in names]
    return [
        InputChange(name=name, before=_word(old), after=_word(new)) for name, old, new in pairs if old != new
    ]


def last_good(rows: Iterable[ResultRow]) -> ResultRow | None:
    """Return the newest PASS among release reports, or the newest PARTIAL if none ever passed."""
    ordered = sorted(rows, key=lambda row: (row.created_at, row.run_id))
    for wanted in (Status.PASS, Status.PARTIAL):
        good = [row for row in ordered if row.status == wanted]
        if good:
            return good[-1]
    return None


def last_good_record(rows: Iterable[ResultRow], now: ResultRow) -> LastGood | None:
    """Return the last good release before a result, with the inputs that changed since; None if none was."""
    good = last_good(row for row in rows if row.run_id != now.run_id)
    if good is None:
        return None
    return LastGood(
        run_id=good.run_id,
        created_at=good.created_at,
        verdict=good.status,
        recommended_stack=good.recommended_stack or _ABSENT,
        stack_release=good.stack_release,
        image=good.image,
        model_revision=good.model_revision,
        packages=good.packages,
        inputs_changed=changed_inputs(good, now),
    )


def _not_alike(before: ResultRow, after: ResultRow) -> list[str]:
    found = []
    if before.model == after.model and before.model_revision != after.model_revision:
        found.append(f"revisions {_word(before.model_revision)} and {_word(after.model_revision)}")
    if before.model != after.model:
        found.append(f"models {before.model} and {after.model}")
    if before.recommended_stack != after.recommended_stack:
        found.append(f"stacks {_word(before.recommended_stack)} and {_word(after.recommended_stack)}")
    sizes = before.tensor_parallel_size, after.tensor_parallel_size
    if sizes[0] != sizes[1]:
        found.append(f"tensor parallel sizes {_word(sizes[0])} and {_word(sizes[1])}")
    modes = before.execution, after.execution
    if None not in modes and modes[0] != modes[1]:
        found.append(f"execution modes {modes[0]} and {modes[1]}")
    common = sorted({*before.sizes} & {*after.sizes})
    found += [
        f"{profile}: sizes {before.sizes[profile]} and {after.sizes[profile]}"
        for profile in common
        if before.sizes[profile] != after.sizes[profile]
    ]
    return found


def _metric_changes(before: Metrics, after: Metrics) -> list[MetricChange]:
    profiles: Sequence[str] = list(dict.fromkeys([*before, *after]))
    changes = [
        MetricChange(
            profile=profile,
            metric=metric,
            before=before.get(profile, {}).get(metric),
            after=after.get(profile, {}).get(metric),
        )
        for profile in profiles
        for metric in KEPT_METRICS
    ]
    return [change for change in changes if change.before is not None or change.after is not None]


def _word(value: object) -> str:
    return _ABSENT if value is None else str(value)
