"""The documentation as data for its tests: pages, sections, fenced blocks, tables, links."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "SECURITY.md", *DOCS.glob("*.md")]
)

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]+)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, what is said after it, its text, and the block that follows."""

    page: Path
    line: int
    language: str
    tags: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    found = []
    content = text_of(page)
    for match in _FENCE.finditer(content):
        language, *tags = match["info"].split()
        line = content.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, tuple(tags), textwrap.dedent(match["body"])))
    return found


def tagged(language: str, tag: str) -> list[Block]:
    """Return the blocks of all pages that have this language and tag."""
    every = [block for page in PAGES for block in blocks(page)]
    return [block for block in every if block.language == language and tag in block.tags]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual Markdown renderers make them."""
    titles = [title for _, title in _HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(page: Path, title: str) -> str:
    """Return a section's own text, up to the next heading of any level."""
    content = prose(page)
    headings = list(_HEADING.finditer(content))
    for position, heading in enumerate(headings):
        if heading[2].replace("`", "") == title:
            end = headings[position + 1].start() if position + 1 < len(headings) else len(content)
            return content[heading.end() : end]
    raise AssertionError(f"{page.name} has no section {title!r}")


def table(text: str, first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first column is called `first`: first cell (bare) to the others."""
    rows: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if not cells:
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and set(line) - set("|- "):
            rows[cells[0].strip("`| ")] = [cell.strip("| ") for cell in cells[1:]]
    return rows
