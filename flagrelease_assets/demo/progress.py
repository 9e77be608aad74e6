"""How the set-up of a demonstration tells what it is doing, and how it fails.

Belongs here: the progress callback's type and the error every set-up step raises.
Does not belong here: any set-up step.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Receives one line of text, without its end, for each thing that happens."""


class DemoError(RuntimeError):
    """A set-up step failed; the message says what happened, where, and what to do."""
