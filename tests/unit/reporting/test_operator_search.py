"""The search for guilty operators in the report: what was found, and every engine start that led to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from flagrelease_assets.assets.release.metadata import details
from flagrelease_assets.contracts import DiffAnalysis, ReleaseReport, StepDocument
from flagrelease_assets.reporting.html import report_html
from flagrelease_assets.reporting.markdown import report_markdown
from tests.unit.reporting import factories

EVIDENCE = Path(__file__).parents[3] / "docs" / "evidence" / "h100-eager" / "diff_analysis.json"


def written(diff: DiffAnalysis | None) -> list[str]:
    """Return both forms of a report whose comparison is ``diff``."""
    documents: dict[str, StepDocument] = factories.documents()
    if diff:
        documents["diff_analysis"] = diff
    report: ReleaseReport = factories.report()
    return [report_markdown(report, documents).replace("\\", ""), report_html(report, documents)]


@pytest.fixture
def recorded() -> DiffAnalysis:
    return TypeAdapter(DiffAnalysis).validate_json(EVIDENCE.read_text(encoding="utf-8"))


def test_the_guilty_operator_and_the_number_of_engine_starts_are_said(recorded: DiffAnalysis) -> None:
    for page in written(recorded):
        assert "Guilty, proven both ways: mul" in page
        assert "21 engine starts, 7 at once (one by one at most 12), 7 min 37 s" in page


def test_every_engine_start_is_a_row_with_what_was_on_and_what_it_showed(recorded: DiffAnalysis) -> None:
    for page in written(recorded):
        assert "none on" in page
        assert "only mul on" in page
        assert "all on but mul" in page
        assert page.count("fails as the full stack does") == 3
        assert page.count("works as base does") == 18


@pytest.fixture
def both(recorded: DiffAnalysis) -> DiffAnalysis:
    """Return the recorded search as one in the offline phase, with a second one of the served phase."""
    assert recorded.operator_search is not None and recorded.reduced_stack is not None
    first = recorded.operator_search.model_copy(update={"phase": "offline"})
    trial = first.trials[0].model_copy(update={"reason": "the server starts", "operators_on": 12})
    further = {"phase": "serve", "guilty": [["exp"]], "starts": 9, "seconds": 60.0, "trials": [trial]}
    reduced = recorded.reduced_stack.model_copy(update={"operators_off": ["mul", "exp"]})
    searches = {"operator_search": first, "further_search": first.model_copy(update=further)}
    return recorded.model_copy(update={**searches, "reduced_stack": reduced})


def test_both_searches_are_said_each_with_its_phase_and_its_engine_starts(both: DiffAnalysis) -> None:
    for page in written(both):
        assert "Searched offline. Guilty, proven both ways: mul" in page
        assert "Searched when serving, without mul. Guilty, proven both ways: exp" in page
        assert "only mul on" in page
        assert page.count("the server starts") == 1
    _, html = written(both)
    assert "full stack without mul, exp" in html


def test_both_searches_are_numbers_with_names_of_their_own(both: DiffAnalysis) -> None:
    metadata = details(both)
    assert (metadata["operator_search_starts"], metadata["further_search_starts"]) == (21, 9)
    assert metadata["further_search_seconds"] == 60.0
    assert metadata["guilty_operators"] == "mul, exp"


def test_a_document_from_before_there_were_two_searches_is_read_as_one(recorded: DiffAnalysis) -> None:
    assert recorded.further_search is None
    assert [search.phase for search in recorded.searches] == [None]
    assert "further_search_starts" not in details(recorded)
    for page in written(recorded):
        assert "Searched" not in page


def test_a_release_without_a_search_has_no_such_section() -> None:
    for page in written(None):
        assert "Guilty operators" not in page


def test_a_hostile_reason_of_an_engine_start_stays_text(recorded: DiffAnalysis) -> None:
    assert recorded.operator_search is not None
    recorded.operator_search.trials[0].reason = "<script>alert(1)</script> | `x`"
    for page in written(recorded):
        assert "<script>alert(1)</script>" not in page
