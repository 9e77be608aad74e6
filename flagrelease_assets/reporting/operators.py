"""The searches for guilty operators as sentences and rows: what was tried, what each engine start showed.

Belongs here: words and rows for every form of the report.
Does not belong here: what the search found (contracts), markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flagrelease_assets.contracts.common import IN_PHASE
from flagrelease_assets.contracts.operator_search import OperatorSearch, OperatorTrial
from flagrelease_assets.reporting.documents import ReleaseDocuments
from flagrelease_assets.reporting.text import duration

OUTCOMES = {
    "PASS": "works as base does",
    "SAME": "fails as the full stack does",
    "OTHER": "fails in another way",
}


@dataclass(frozen=True)
class TrialRow:
    """One engine start of the search; ``status`` is a status word that stands for its outcome."""

    number: int
    operators: str
    status: str
    outcome: str
    time: str
    reason: str


@dataclass(frozen=True)
class SearchAccount:
    """One search as a reader sees it: what it found, and every engine start in order."""

    summary: str
    trials: tuple[TrialRow, ...]


def search_accounts(release: ReleaseDocuments) -> list[SearchAccount]:
    """Return the searches of a release, in order; none if nothing was searched for."""
    accounts: list[SearchAccount] = []
    guilty: list[str] = []
    for search in release.diff.searches if release.diff else []:
        trials = tuple(_row(trial, search) for trial in search.trials)
        accounts.append(SearchAccount(_summary(search, guilty), trials))
        guilty += search.names
    return accounts


def _summary(search: OperatorSearch, without: Sequence[str]) -> str:
    """Return in a few sentences what a search found; ``without`` are those that an earlier one found."""
    left_out = f", without {', '.join(without)}" if without else ""
    where = f"Searched {IN_PHASE[search.phase]}{left_out}. " if search.phase else ""
    took = f"{search.starts} engine starts{_against_bound(search)}, {duration(search.seconds or None)}."
    if not search.names:
        named = "No operator is named"
    elif search.verified:
        named = f"Guilty, proven both ways: {search.in_words}"
    else:
        named = f"Guilty, not proven both ways: {search.in_words}"
    return f"{where}{named}. Of {search.operators} operators; {took}"


def _against_bound(search: OperatorSearch) -> str:
    if not search.starts_bound:
        return ""
    if search.at_once > 1:
        return f", {search.at_once} at once (one by one at most {search.starts_bound})"
    return f" (at most {search.starts_bound})"


def _row(trial: OperatorTrial, search: OperatorSearch) -> TrialRow:
    marks = {"PASS": "PASS", "SAME": "FAIL", "OTHER": "SKIPPED"}
    return TrialRow(
        trial.number,
        _operators(trial, search.operators),
        marks[trial.outcome],
        OUTCOMES[trial.outcome],
        duration(trial.seconds or None),
        trial.reason,
    )


def _operators(trial: OperatorTrial, total: int) -> str:
    if trial.operators_on == 0:
        return "none on"
    if trial.on:
        return f"only {', '.join(trial.on)} on"
    if trial.off:
        return f"all on but {', '.join(trial.off)}"
    return f"{trial.operators_on} of {total} on"
