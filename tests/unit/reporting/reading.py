"""Reading a page as a browser would: its elements, its visible text, and what it would load."""

from __future__ import annotations

from html.parser import HTMLParser

LOADING_ATTRIBUTES = {"src", "srcset", "href", "xlink:href", "action", "poster", "data"}


class Page(HTMLParser):
    """The parts of a page that the tests ask about."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.pieces: list[str] = []
        self.styles: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in LOADING_ATTRIBUTES]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_data(self, data: str) -> None:
        inside = self.tags[-1] if self.tags else ""
        if inside == "style":
            self.styles.append(data)
        elif inside != "script":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """The visible text, white space collapsed."""
        return " ".join(" ".join(self.pieces).split())
