"""`flagrelease classify` and `flagrelease diff`: the judgement of logs and run documents, by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flagrelease_assets.cli.common import EXIT_CODES, JsonOption, console, print_json


def classify(
    log: Annotated[
        Path | None, typer.Argument(help="Log file; standard input if absent.", exists=True, dir_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the layer, component and cause of a failure from its log."""
    from container_scripts.error_layers import classify_stream

    if log is None:
        found = classify_stream(sys.stdin.buffer, "standard input").to_dict()
    else:
        with log.open("rb") as handle:
            found = classify_stream(handle, log.name).to_dict()
    if as_json:
        print_json(found)
        return
    for name in ("layer", "component", "category", "cause", "fatal", "retryable"):
        console.print(f"[bold]{name:10}[/bold] {found[name]}", markup=True, highlight=False)
    for line in found["evidence"]:
        console.print(f"  {line['source']}:{line['line']}: {line['text']}", markup=False, highlight=False)


def diff(
    run_a: Annotated[Path, typer.Argument(help="Run document of the base stack.")],
    run_b: Annotated[Path, typer.Argument(help="Run document of the full stack.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two run documents: conclusion, component at fault, recommended stack."""
    from container_scripts.diff_analysis import analyse
    from container_scripts.run_documents import load_document

    found = analyse(load_document(str(run_a)), load_document(str(run_b)))
    if as_json:
        print_json(found)
    else:
        console.print(f"{found['conclusion']}: {found['detail']}", markup=False)
        component = found["multichip_component"] or "none"
        console.print(f"recommended stack {found['recommended_stack']}, component {component}")
        for reason in found["reasons"]:
            console.print(f"  - {reason}", markup=False)
    raise typer.Exit(EXIT_CODES.get(str(found["status"]), 2))
