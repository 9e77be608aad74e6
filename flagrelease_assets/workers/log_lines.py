"""From chunks of log bytes to whole lines, each once, without secrets.

Belongs here: decoding and splitting a stream of log bytes.
Does not belong here: where the bytes come from, what is secret, and what the lines mean.
"""

from __future__ import annotations

import codecs

from flagrelease_assets.redaction import Redactor

MAX_LINE_CHARACTERS = 1 << 20
"""A longer line is delivered in pieces, so that a log without newlines cannot fill the memory."""


class LogLines:
    """Collects chunks and hands out the lines that they complete, each as ``redactor`` leaves it."""

    def __init__(self, redactor: Redactor) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._redactor = redactor
        self._partial = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that ``chunk`` completes, without their line ends."""
        *lines, self._partial = (self._partial + self._decoder.decode(chunk)).split("\n")
        while len(self._partial) > MAX_LINE_CHARACTERS:
            lines.append(self._partial[:MAX_LINE_CHARACTERS])
            self._partial = self._partial[MAX_LINE_CHARACTERS:]
        return [self._redactor.text(line.removesuffix("\r")) for line in lines]

    def finish(self) -> list[str]:
        """Return the last line if no newline ended it."""
        rest, self._partial = self._partial + self._decoder.decode(b"", final=True), ""
        return [self._redactor.text(rest)] if rest else []
