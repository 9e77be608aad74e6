"""From chunks of log bytes to whole lines, each once, without secrets.

Belongs here: decoding, splitting and redacting a stream of log bytes.
Does not belong here: where the bytes come from, and what the lines mean.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

MAX_LINE_CHARACTERS = 1 << 20
"""A longer line is delivered in pieces, so that a log without newlines cannot fill the memory."""

MIN_SECRET_CHARACTERS = 6
"""A shorter value is no secret that could be kept: redacting it would blot out ordinary text."""

REDACTED = "<redacted>"


class LogLines:
    """Collects chunks and hands out the lines that they complete; ``secrets`` never show up in one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._secrets = sorted(
            (secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS), key=len, reverse=True
        )
        self._partial = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that ``chunk`` completes, without their line ends."""
        *lines, self._partial = (self._partial + self._decoder.decode(chunk)).split("\n")
        while len(self._partial) > MAX_LINE_CHARACTERS:
            lines.append(self._partial[:MAX_LINE_CHARACTERS])
            self._partial = self._partial[MAX_LINE_CHARACTERS:]
        return [self.redact(line.removesuffix("\r")) for line in lines]

    def finish(self) -> list[str]:
        """Return the last line if no newline ended it."""
        rest, self._partial = self._partial + self._decoder.decode(b"", final=True), ""
        return [self.redact(rest)] if rest else []

    def redact(self, text: str) -> str:
        """Return ``text`` with every secret replaced."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text
