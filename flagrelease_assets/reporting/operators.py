"""The search for guilty operators as rows and a sentence: what was tried, and what each engine start showed.

Belongs here: words and rows for every form of the report.
Does not belong here: what the search found (contracts), markup.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def search_of(release: ReleaseDocuments) -> OperatorSearch | None:
    """Return the search of a release, if there was one."""
    return release.diff.operator_search if release.diff else None


def search_summary(release: ReleaseDocuments) -> str:
    """Return in a sentence or two what the search found; "" if there was none."""
    search = search_of(release)
    if search is None:
        return ""
    took = f"{search.starts} engine starts{_against_bound(search)}, {duration(search.seconds or None)}."
    if not search.names:
        named = "No operator is named"
    elif search.verified:
        named = f"Guilty, proven both ways: {search.in_words}"
    else:
        named = f"Guilty, not proven both ways: {search.in_words}"
    return f"{named}. Of {search.operators} operators; {took}"


def _against_bound(search: OperatorSearch) -> str:
    if not search.starts_bound:
        return ""
    if search.at_once > 1:
        return f", {search.at_once} at once (one by one at most {search.starts_bound})"
    return f" (at most {search.starts_bound})"


def trial_rows(release: ReleaseDocuments) -> list[TrialRow]:
    """Return every engine start of the search, in order."""
    search = search_of(release)
    if search is None:
        return []
    marks = {"PASS": "PASS", "SAME": "FAIL", "OTHER": "SKIPPED"}
    return [
        TrialRow(
            trial.number,
            _operators(trial, search.operators),
            marks[trial.outcome],
            OUTCOMES[trial.outcome],
            duration(trial.seconds or None),
            trial.reason,
        )
        for trial in search.trials
    ]


def _operators(trial: OperatorTrial, total: int) -> str:
    if trial.operators_on == 0:
        return "none on"
    if trial.on:
        return f"only {', '.join(trial.on)} on"
    if trial.off:
        return f"all on but {', '.join(trial.off)}"
    return f"{trial.operators_on} of {total} on"
