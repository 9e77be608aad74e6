"""SECURITY.md fits one page, and every promise in it names a test that there is."""

from __future__ import annotations

import re

from tests.security.sources import ROOT

PAGE = ROOT / "SECURITY.md"
LONGEST_PAGE_LINES = 60


def promises() -> list[tuple[str, list[str]]]:
    """Return each promise with the tests that it names."""
    table = PAGE.read_text(encoding="utf-8").partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    return [(row[0], re.findall(r"`([\w/]+\.py)`", row[1])) for row in rows]


def test_every_promise_names_a_test_that_there_is() -> None:
    found = promises()
    assert len(found) > 10
    for promise, files in found:
        assert files, promise
        for file in files:
            assert (ROOT / (file if "/" in file else f"tests/security/{file}")).is_file(), (promise, file)


def test_every_test_of_this_folder_stands_behind_a_promise() -> None:
    named = {file for _, files in promises() for file in files}
    there = {path.name for path in (ROOT / "tests" / "security").glob("test_*.py")} - {"test_promises.py"}
    assert there <= named


def test_the_threat_model_fits_one_page() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= LONGEST_PAGE_LINES
