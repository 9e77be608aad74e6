"""What the terminal shows while a run goes on: the step, what it is doing, and for how long.

Belongs here: live progress. Does not belong here: the summary of a finished run (`console.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status as Spinner
from rich.text import Text

_TITLES: Mapping[str, str] = {
    "install_status": "install and prove the stack",
    "env_verification": "smoke test with a small model",
    "model_snapshot": "check the model's files",
    "run_a_result": "Run A: base stack",
    "run_b_result": "Run B: full stack",
    "diff_analysis": "compare the runs",
    "recommended_stack": "recommend a stack",
    "benchmark_metrics": "benchmark five profiles",
    "accuracy_metrics": "accuracy",
    "release_report": "report",
}


class StepProgress:
    """Prints a line for each step and each job, and keeps the newest log line in view with the time."""

    def __init__(self, console: Console) -> None:
        """Show progress on ``console``; without a terminal only the lines appear."""
        self._console = console
        self._spinner: Spinner | None = None
        self._step: str | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._spinner = self._console.status("starting …")
            self._spinner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner:
            self._spinner.stop()

    def line(self, text: str) -> None:
        """Show one line of set-up work."""
        self._line(f"  {text}")

    def message(self, step: str, message: str) -> None:
        """Show what a step says: the headings of jobs as lines, their logs as the moving line."""
        if step not in _TITLES:
            return
        if step != self._step:
            self._step, self._started = step, time.monotonic()
            self._console.print(Text.assemble(("▶ ", "cyan"), (step, "bold"), f"  {_TITLES[step]}"))
        first, *rest = message.splitlines() or [""]
        if first.startswith("[") and rest:
            self._show(f"{first} {rest[-1]}")
        elif not _is_dagster_event(first):
            self._line(f"    {_clock(self._started)}  {first}")

    def _line(self, text: str) -> None:
        self._console.print(Text(text), highlight=False, no_wrap=True, overflow="ellipsis")

    def _show(self, text: str) -> None:
        if self._spinner:
            elapsed = _clock(self._started)
            self._spinner.update(Text(f"{self._step} {elapsed}  {text}"[: self._console.width - 4]))


def _clock(since: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - since), 60)
    return f"{minutes}:{seconds:02d}"


def _is_dagster_event(text: str) -> bool:
    """Whether a message is Dagster's own account of an event, which the step lines already tell."""
    return text.startswith(
        (
            "Started execution",
            "Finished execution",
            "Got input",
            "Loaded input",
            "Loading input",
            "Yielded output",
            "Handled output",
            "Writing",
            "Materialized value",
            "Asset check",
        )
    )
