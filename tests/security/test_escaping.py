"""What a model, a log or a hub said is shown as text: in the report, on the board, in the Dagster UI."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import dagster as dg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import BaseModel, ValidationError

from flagrelease_assets.assets.release.metadata import step_metadata
from flagrelease_assets.contracts import ReleaseReport, StepDocument
from flagrelease_assets.contracts.report import BoardCell
from flagrelease_assets.reporting import board_html, report_html, report_markdown
from flagrelease_assets.reporting.markdown import harmless_table
from flagrelease_assets.results.store import ResultStore
from tests.unit.reporting import factories
from tests.unit.reporting.reading import Page

NOW = factories.MEASURED + timedelta(hours=5)
MARK = "zzz"
HOSTILE = (
    "<script>alert('zzz')</script>",
    "</script><zzz>",
    "<img src=http://zzz.test onerror=alert(1)>",
    "<zzz>",
    '" onzzz="',
    "' onzzz='",
    "]]>",
    "<!--",
    "-->",
    "</style><zzz>",
    "</td></tr></table><zzz>",
    "<svg/onload=zzz()>",
    "&lt;zzz&gt;",
    "&#60;zzz&#62;",
    "[a](javascript:zzz)",
    "[a](http://zzz.test)",
    "![a](http://zzz.test)",
    "<http://zzz.test>",
    "[a]: http://zzz.test",
    "```",
    "~~~~",
    "`",
    "|",
    "\\",
    "\n\n",
    "\n    ",
    "\n> ",
    "\n# ",
    "\r",
    "\u2028",
    "{{ 7*7 }}",
    "{% raw %}",
    "\x1b[31m",
    "\x00",
    "*",
    "_",
    " ",
    "é",
)
TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), min_size=1, max_size=8).map("".join)
KEPT = frozenset({"step", "run_id", "measured_by_run", "created_at", "name"})
"""Fields that say what a document is: with another value the pages would show something else."""


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every text in a JSON-like value, but of those in KEPT."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in KEPT:
                yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def with_text(
    content: dict[str, Any], paths: Iterator[tuple[Any, ...]] | list[tuple[Any, ...]], text: str
) -> Any:
    """Return a copy of a JSON-like value with ``text`` at each of these paths."""
    changed = copy.deepcopy(content)
    for path in paths:
        inside: Any = changed
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = text
    return changed


def free_texts(document: BaseModel) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """Return a document's content, and the paths of every text in it that may be anything."""
    content = document.model_dump(mode="json")
    found = []
    for path in leaves(content):
        try:
            type(document).model_validate(with_text(content, [path], HOSTILE[0]))
        except ValidationError:
            continue
        found.append(path)
    return content, found


def release() -> tuple[ReleaseReport, dict[str, StepDocument]]:
    """Return a release with a text in as many places as there are."""
    documents = factories.documents()
    error = factories.error()
    documents["run_a_result"] = factories.model_run(
        "run_a_result",
        reason="reason",
        errors=[error],
        phase_a_offline=factories.phase("offline", "text", traceback="text", error="text"),
        phase_b_serve=factories.phase("serve", "text", error="text", log_tail="text", reason="text"),
    )
    documents["diff_analysis"] = documents["diff_analysis"].model_copy(update={"reasons": ["a", "b"]})
    report = factories.report(errors=[error], findings=["a finding"], notes=["a note"])
    return report, documents


@cache
def prepared() -> tuple[Any, dict[str, Any]]:
    report, documents = release()
    return (type(report), *free_texts(report)), {
        step: (type(document), *free_texts(document)) for step, document in documents.items()
    }


def hostile_release(text: str) -> tuple[ReleaseReport, dict[str, StepDocument]]:
    """Return the release with this text in every place that takes any."""
    (kind, content, paths), documents = prepared()
    report = kind.model_validate(with_text(content, paths, text))
    return report, {
        step: step_kind.model_validate(with_text(step_content, step_paths, text))
        for step, (step_kind, step_content, step_paths) in documents.items()
    }


def assert_harmless(html: str, *, scripts: int) -> None:
    """Check what a browser makes of a page: nothing of it was made by the hostile text."""
    page = Page(html)
    assert page.tags.count("script") == scripts
    assert not {"zzz", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert page.handlers == []
    assert not [link for link in page.references if MARK in link or ":" in link.partition("/")[0]]
    assert not [style for style in page.styles if MARK in style]


def rendered(markdown: str) -> str:
    """Return what a viewer makes of Markdown that lets HTML through, as the careless ones do."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def test_the_hostile_text_is_in_every_kind_of_place() -> None:
    (_, _, report_paths), documents = prepared()
    paths = {path[-1] for path in report_paths}
    assert {"conclusion", "reason", "cause", "text", "model_path"} <= paths
    run = {path[-1] for path in documents["run_a_result"][2]}
    assert {"text", "prompt", "error", "traceback", "log_tail", "cause"} <= run


@settings(max_examples=40, deadline=None)
@given(TEXTS)
@example("".join(HOSTILE))
@example("<script>alert(1)</script>")
def test_no_tag_handler_or_link_of_foreign_text_survives_in_the_report_page(text: str) -> None:
    assert_harmless(report_html(*hostile_release(text)), scripts=1)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
@example("".join(HOSTILE))
def test_no_tag_or_link_of_foreign_text_survives_in_the_markdown_report(text: str) -> None:
    assert_harmless(rendered(report_markdown(*hostile_release(text))), scripts=0)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
@example("".join(HOSTILE))
def test_no_tag_or_link_of_foreign_text_survives_in_the_markdown_of_the_dagster_ui(text: str) -> None:
    report, documents = hostile_release(text)
    seen = 0
    for document in (report, *documents.values()):
        for value in step_metadata(document, ResultStore("/nowhere")).values():
            if isinstance(value, dg.MarkdownMetadataValue):
                seen += 1
                assert_harmless(rendered(value.value), scripts=0)
    assert seen >= 3


@settings(max_examples=60, deadline=None)
@given(TEXTS)
@example("".join(HOSTILE))
def test_no_tag_handler_or_link_of_foreign_text_survives_on_the_board(text: str) -> None:
    cell = BoardCell(vendor="nvidia", model="org--a", verdict="untested", reason=text)
    content, paths = free_texts(cell)
    hostile = BoardCell.model_validate(with_text(content, paths, text))
    assert_harmless(board_html([hostile, cell], ["nvidia", text], ["org--a", text], NOW), scripts=1)


@given(TEXTS)
def test_a_table_of_a_worker_stays_a_table(text: str) -> None:
    html = rendered(harmless_table(f"| a | b |\n|-|-|\n| x | {text.replace(chr(10), ' ')} |"))
    assert_harmless(html, scripts=0)


def test_the_table_that_our_own_programs_write_is_shown_as_it_was() -> None:
    written = "| Profile | Req/s |\n|-|-|\n| short_prefill_short_decode | 5.00 |\n| other | - |"
    page = Page(rendered(harmless_table(written)))
    assert page.tags.count("td") == 4
    assert page.text == "Profile Req/s short_prefill_short_decode 5.00 other -"


@pytest.mark.parametrize("write", [report_html, report_markdown])
def test_foreign_text_is_shown_and_not_left_out(write: Callable[..., str]) -> None:
    text = "<b>zzz</b> & [a](b)"
    written = write(*hostile_release(text))
    page = Page(written if write is report_html else rendered(written))
    assert text in page.text
