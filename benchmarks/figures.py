"""What a benchmark reports: figures against stated aims, as a table and as JSON.

Belongs here: the form of a figure. Does not belong here: measuring anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table


class NotMeasurableError(Exception):
    """This machine lacks what a benchmark needs; the message says what."""


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: the figure, in ``unit`` ("x" for a ratio, "s", "MB", "jobs", "share").
        aim: the bound that it should keep; None where the figure only explains another one.
        bound: whether the aim is the most or the least that is wanted.
        detail: what the figure was made from.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    bound: Literal["most", "least"] = "most"
    detail: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the aim is kept; None without an aim."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.bound == "most" else self.value >= self.aim

    @property
    def ratio(self) -> float | None:
        """The figure as a part of its aim, if that is a number above zero."""
        return self.value / self.aim if self.aim else None


@dataclass(frozen=True)
class Outcome:
    """What became of one benchmark: figures, or the reason why there are none."""

    benchmark: str
    figures: tuple[Figure, ...] = ()
    skipped: str | None = None
    broken: str | None = None


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return every figure, and every benchmark without one, as a table for the terminal."""
    view = Table(title="flagrelease, measured")
    for column in ("benchmark", "figure", "measured", "aim", "of aim", "kept", "detail"):
        view.add_column(column, justify="right" if column in ("measured", "aim", "of aim") else "left")
    for outcome in outcomes:
        for figure in outcome.figures:
            view.add_row(outcome.benchmark, *_cells(figure))
        if missing := outcome.broken or outcome.skipped:
            word = "broken" if outcome.broken else "skipped"
            view.add_row(outcome.benchmark, word, "", "", "", "", missing)
    return view


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as JSON: by benchmark, its figures with ratio and whether the aim is kept."""
    documents: dict[str, Any] = {
        outcome.benchmark: {
            **asdict(outcome),
            "figures": [
                {**asdict(figure), "ratio": figure.ratio, "kept": figure.kept} for figure in outcome.figures
            ],
        }
        for outcome in outcomes
    }
    return json.dumps(documents, indent=1, ensure_ascii=False) + "\n"


def _cells(figure: Figure) -> tuple[str, ...]:
    sign = "≤" if figure.bound == "most" else "≥"
    return (
        figure.name,
        f"{figure.value:.3g} {figure.unit}",
        "" if figure.aim is None else f"{sign} {figure.aim:g} {figure.unit}",
        "" if figure.ratio is None else f"{figure.ratio:.0%}",
        "" if figure.kept is None else "yes" if figure.kept else "NO",
        figure.detail,
    )
