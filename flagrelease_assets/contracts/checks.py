"""What a check against earlier results says: its state, its figures, the result it was held against.

Belongs here: the shape of a check's outcome, of a finding and of a used waiver, as the report stores them.
Does not belong here: how a state is found (`regression.py`, `drift.py`), Dagster's asset checks.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from flagrelease_assets.contracts.common import Component, Document


class CheckState(StrEnum):
    """What a check found; only OK is good news, the last two say that nothing was judged."""

    OK = "ok"
    ALERT = "alert"
    INSUFFICIENT_DATA = "insufficient_data"
    NOT_APPLICABLE = "not_applicable"


class CheckFigure(Document):
    """One figure held against its history; changes in per cent, positive means that the number grew."""

    subject: str = Field(description="Profile, package, task or prompt set that the figure is of.")
    metric: str
    state: CheckState
    value: float | None = None
    baseline: float | None = Field(None, description="The figure of the last good result.")
    mean: float | None = Field(None, description="Mean of the comparable results.")
    standard_deviation: float | None = Field(None, description="Of the comparable results (sample).")
    change_percent: float | None = Field(None, description="Value against baseline.")
    results: int = Field(0, description="Comparable results.")
    baseline_run: str | None = Field(None, description="Run that measured the baseline.")
    baseline_at: datetime | None = None
    text: str = ""


class CheckOutcome(Document):
    """The outcome of one check of one step."""

    check: str
    step: str
    state: CheckState
    text: str = Field(description="The outcome in a sentence.")
    figures: list[CheckFigure] = []
    components: list[Component] = Field([], description="Whose code an alert is about, where it is known.")
    baseline_run: str | None = Field(None, description="Run that measured the last good result.")
    baseline_at: datetime | None = None


class Finding(Document):
    """One reason why a release is less than PASS.

    A finding that says that evidence is missing or stale cannot be waived: nothing was seen to accept.
    One that does not count is a note: an alert of a check whose severity is a warning.
    """

    check: str = Field(description="The step or check that found it.")
    text: str
    components: list[Component] = []
    waivable: bool = True
    counts: bool = True


class WaivedFinding(Document):
    """A finding that a waiver accepts until a day."""

    text: str
    reason: str
    expires: date
