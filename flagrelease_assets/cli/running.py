"""Running a job from the command line and ending with its exit code.

Belongs here: progress, the summary in the terminal. Does not belong here: launching (`launch.py`).
"""

from __future__ import annotations

from typing import Any, NoReturn

import typer

from flagrelease_assets.cli.common import EXIT_CODES, complaints, console, print_json


def launch_here(vendor: str, model: str, job: str, *, force: bool, quiet: bool) -> Any:
    """Run a job in this process, with its progress in the terminal unless ``quiet``."""
    from flagrelease_assets.home import open_instance
    from flagrelease_assets.launch import launch
    from flagrelease_assets.reporting.progress import StepProgress

    progress = StepProgress(console)
    with open_instance() as instance:
        if quiet:
            return launch(instance, job, vendor, model, force=force)
        with progress:
            return launch(instance, job, vendor, model, force=force, on_message=progress.message)


def launch_job_for(vendor: str, model: str, job: str) -> str | None:
    """Run a job and return why what it ends with cannot be built on, or None."""
    result = launch_here(vendor, model, job, force=False, quiet=False)
    if result.document is None:
        return result.failure or "the run left no result"
    return None if result.document.usable else result.document.reason


def finish(result: Any, deployment: Any, *, as_json: bool, ui_hint: str = "flagrelease ui") -> NoReturn:
    """Print a finished run and end with its exit code."""
    from flagrelease_assets.assets.release.report import report_file
    from flagrelease_assets.reporting.console import console_summary

    document = result.document
    if as_json:
        failed = {"run_id": result.run_id, "status": "FAIL", "reason": result.failure}
        print_json(document.model_dump(mode="json") if document else failed)
        raise typer.Exit(EXIT_CODES[result.status.value])
    if result.report:
        page = deployment.store().root / report_file(result.report, "html")
        console.print(console_summary(result.report, str(page)))
    elif document:
        console.print(f"{document.step}: {document.status}: {document.reason or 'as expected'}", markup=False)
    else:
        complaints.print(result.failure or "the run left no result", style="red", markup=False)
    console.print(f"run {result.run_id} took {result.seconds:.0f} s; open the UI with `{ui_hint}`")
    raise typer.Exit(EXIT_CODES[result.status.value])
