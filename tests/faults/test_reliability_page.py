"""What the page on reliability promises names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "reliability.md"


def test_every_promise_names_tests_that_exist() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## What we promise")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for promise, _, tests in rows:
        named = re.findall(r"`([^`]+)`", tests)
        assert named, promise
        for name in named:
            file = PROJECT / name if "/" in name else PROJECT / "tests" / "faults" / f"{name}.py"
            assert file.is_file(), f"{promise}: {name}"
