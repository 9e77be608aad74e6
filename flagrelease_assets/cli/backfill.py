"""`flagrelease backfill`: release many models on many vendors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flagrelease_assets.cli.common import (
    DeploymentOption,
    JsonOption,
    complaints,
    console,
    fail,
    open_deployment,
    print_json,
    resolve_vendor,
)

if TYPE_CHECKING:
    from flagrelease_assets.backfill.plan import PlannedCell
    from flagrelease_assets.backfill.progress import Progress
    from flagrelease_assets.backfill.server import DagsterServer
    from flagrelease_assets.results.store import ResultStore

REFRESHES_PER_SECOND = 2


def backfill(
    models: Annotated[str | None, typer.Option(help="Model ids, separated by commas; all if absent.")] = None,
    vendors: Annotated[
        str | None, typer.Option(help="Vendors, separated by commas; every vendor with a worker if absent.")
    ] = None,
    missing_only: Annotated[
        bool, typer.Option("--missing-only", help="Only cells without a valid result for what is configured.")
    ] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Release one cell first, and stop if it is FAIL.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Measure anew instead of reusing unchanged results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be released, and why.")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="Run in this terminal even if a webserver answers.")
    ] = False,
    url: Annotated[str, typer.Option(help="Webserver whose queue is used, if it answers.")] = "",
    cancel: Annotated[
        str | None, typer.Option(metavar="ID", help="Cancel this backfill; its jobs in the workers end.")
    ] = None,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release many cells: one release per vendor at a time, vendors in parallel.

    With a running webserver and daemon (`flagrelease ui`) the releases go into its queue and are seen in the
    UI; without, they run in processes of this terminal.
    """
    from flagrelease_assets.backfill.plan import chosen, plan_cells
    from flagrelease_assets.backfill.progress import Progress
    from flagrelease_assets.backfill.server import DEFAULT_URL, DagsterServer, ServerError
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.reporting.backfills import plan_view

    server = DagsterServer(url or DEFAULT_URL)
    if cancel:
        try:
            server.cancel(cancel)
        except ServerError as error:
            fail(str(error))
        console.print(f"backfill {cancel} is being cancelled")
        return
    resource = open_deployment(deployment)
    settings = resource.load()
    wanted = [resolve_vendor(name) for name in _listed(vendors)] or list(settings.workers)
    keys = [model_key(name) for name in _listed(models)] or [entry.key for entry in settings.models]
    for key in keys:
        settings.model(key)
    if not wanted or not keys:
        fail("there is nothing to release: the deployment needs `workers:` and `models:`")
    cells = plan_cells(settings, resource.store(), wanted, keys, missing_only=missing_only)
    if dry_run:
        print_json([asdict(cell) for cell in cells]) if as_json else console.print(plan_view(cells))
        return
    progress, todo = Progress.of(cells), chosen(cells)
    use_server = not here and server.answers()
    if url and not use_server and not here:
        fail(f"no webserver of flagrelease answers at {url}; start `flagrelease ui`, or use --here")

    def run(part: list[PlannedCell]) -> None:
        if not part:
            return
        if use_server:
            _through_server(server, part, progress, resource.store(), force=force)
        else:
            from flagrelease_assets.backfill.here import LocalBackfill

            LocalBackfill(progress, force).run(part)

    try:
        _watched(progress, lambda: _run(todo, progress, run, canary=canary), quiet=as_json)
    except ServerError as error:
        fail(str(error))
    if as_json:
        print_json([cell.document() for cell in progress.cells.values()])
    raise typer.Exit(progress.exit_code)


def _listed(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _run(
    todo: list[PlannedCell], progress: Progress, run: Callable[[list[PlannedCell]], None], *, canary: bool
) -> None:
    """Run the cells, the first one alone if it is the canary."""
    if canary and todo:
        first, todo = todo[0], todo[1:]
        run([first])
        state = progress.cells[first.vendor, first.model].state
        if state not in ("PASS", "PARTIAL"):
            progress.abandon(f"the canary {first.model} on {first.vendor} is {state}")
            return
    run(todo)


def _through_server(
    server: DagsterServer, cells: list[PlannedCell], progress: Progress, store: ResultStore, *, force: bool
) -> None:
    backfill_id = server.launch(cells, force=force, title=f"flagrelease backfill of {len(cells)} cells")
    hint = f"backfill {backfill_id} at {server.url}; it goes on without this terminal"
    complaints.print(f"{hint}. To end it: flagrelease backfill --cancel {backfill_id}", style="dim")
    server.follow(backfill_id, cells, progress, store)


def _watched(progress: Progress, run: Callable[[], None], *, quiet: bool) -> None:
    """Run with the grid shown in the terminal and kept up to date."""
    if quiet:
        run()
        return
    from rich.live import Live

    from flagrelease_assets.reporting.backfills import progress_view

    with Live(
        get_renderable=lambda: progress_view(progress),
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
        vertical_overflow="visible",
    ):
        run()
