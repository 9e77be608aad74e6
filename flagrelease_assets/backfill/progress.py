"""How far each cell of a backfill is.

Belongs here: the states of cells. Does not belong here: what drives them, how they look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from flagrelease_assets.backfill.plan import PlannedCell
from flagrelease_assets.contracts.common import Status, utc_now

QUEUED, RUNNING, NOT_RUN, LOST = "queued", "running", "not run", "lost"

_EXIT_CODES = {Status.PASS.value: 0, Status.SKIPPED.value: 0, Status.PARTIAL.value: 1}
_FAILED = 2


@dataclass(frozen=True)
class CellProgress:
    """One cell: a verdict once it has one, else how far it is."""

    vendor: str
    model: str
    state: str = QUEUED
    detail: str = ""
    run_id: str | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds since it started, until it ended."""
        return None if self.started is None else ((self.ended or utc_now()) - self.started).total_seconds()

    def document(self) -> dict[str, object]:
        """Return the cell as JSON-like values, times in UTC."""
        times = {name: when.isoformat() if when else None for name, when in self._times.items()}
        return {**asdict(self), **times, "seconds": self.seconds}

    @property
    def _times(self) -> dict[str, datetime | None]:
        return {"started": self.started, "ended": self.ended}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in (QUEUED, RUNNING)


@dataclass
class Progress:
    """All cells of a backfill; safe to update from several threads."""

    cells: dict[tuple[str, str], CellProgress] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, planned: Sequence[PlannedCell]) -> Progress:
        """Return the progress of a plan that has not begun."""
        return cls({(cell.vendor, cell.model): _initial(cell) for cell in planned})

    def update(self, vendor: str, model: str, **changes: object) -> None:
        """Change what is known of a cell."""
        with self._lock:
            self.cells[vendor, model] = replace(self.cells[vendor, model], **changes)  # type: ignore[arg-type]
        self.on_change()

    def begin(self, vendor: str, model: str, run_id: str | None = None) -> None:
        """Note that a cell's release has started."""
        self.update(vendor, model, state=RUNNING, run_id=run_id, started=utc_now())

    def finish(
        self, vendor: str, model: str, state: str, detail: str = "", run_id: str | None = None
    ) -> None:
        """Note how a cell's release ended."""
        known = self.cells[vendor, model].run_id
        self.update(vendor, model, state=state, detail=detail, run_id=run_id or known, ended=utc_now())

    def abandon(self, reason: str, cells: Iterable[PlannedCell] | None = None) -> None:
        """Note that what has not begun, of these cells or of all, will not run."""
        named = self.cells if cells is None else [(cell.vendor, cell.model) for cell in cells]
        for key in list(named):
            if self.cells[key].state == QUEUED:
                self.update(*key, state=NOT_RUN, detail=reason)

    @property
    def is_over(self) -> bool:
        """Whether every cell is."""
        return all(cell.is_over for cell in self.cells.values())

    @property
    def exit_code(self) -> int:
        """0, 1 or 2 for the worst verdict; what did not run counts as FAIL, SKIPPED as nothing."""
        return max((_EXIT_CODES.get(cell.state, _FAILED) for cell in self.cells.values()), default=0)


def _initial(cell: PlannedCell) -> CellProgress:
    if cell.chosen:
        return CellProgress(cell.vendor, cell.model)
    return CellProgress(cell.vendor, cell.model, Status.SKIPPED.value, cell.reason)
