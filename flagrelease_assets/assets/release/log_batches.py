"""Job logs on their way into the Dagster log: a message a second, not one for each line.

Belongs here: collecting lines until it is time for a message. Does not belong here: where lines come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

LOG_FLUSH_SECONDS = 1.0
LOG_FLUSH_LINES = 200


@dataclass
class LineBatches:
    """Collects log lines so that the Dagster log gets a message a second, not one for each line."""

    emit: Callable[[str], None]
    _lines: list[str] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def add(self, line: str) -> None:
        """Take a line, and hand over what is collected if it is time."""
        self._lines.append(line)
        if len(self._lines) >= LOG_FLUSH_LINES or time.monotonic() - self._since >= LOG_FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand over what is collected."""
        if self._lines:
            self.emit("\n".join(self._lines))
        self._lines, self._since = [], time.monotonic()
