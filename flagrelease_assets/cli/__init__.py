"""`flagrelease …`: a thin command line over the graph. Imports are inside commands, so that help is quick.

Belongs here: which commands there are, and what an error becomes.
Does not belong here: a command (its own module), launching (`launch.py`), how things look in the terminal
(`reporting/console.py`).

Exit codes: 0 PASS, 1 PARTIAL, 2 FAIL, 3 usage or configuration.
"""

from __future__ import annotations

import typer

from flagrelease_assets.cli import backfill, compare, judge, models, release, results, ui, workers
from flagrelease_assets.cli.common import fail

__all__ = ["app", "main"]

app = typer.Typer(
    help="Says with evidence whether an LLM can be released on a GPU vendor's chips.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
worker_app = typer.Typer(help="Look at the workers of the deployment file.", no_args_is_help=True)
models_app = typer.Typer(help="Look at the models of the deployment file.", no_args_is_help=True)

app.command()(release.release)
app.command()(release.demo)
app.command()(ui.ui)
app.command()(results.status)
app.command()(results.board)
app.command()(backfill.backfill)
app.command()(compare.compare)
app.command()(judge.classify)
app.command()(judge.diff)
worker_app.command("check")(workers.check_worker)
models_app.command("list")(models.list_models)
models_app.command("add")(models.add_model)
models_app.command("discover")(models.discover_models)
app.add_typer(worker_app, name="worker")
app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line; a known problem is one line and exit code 3, never a traceback."""
    from flagrelease_assets.catalog import CatalogError, UnknownVendorError
    from flagrelease_assets.contracts.keys import InvalidModelKeyError
    from flagrelease_assets.demo.progress import DemoError
    from flagrelease_assets.deployment import DeploymentError
    from flagrelease_assets.home import HomeError
    from flagrelease_assets.results.store import StoredResultError
    from flagrelease_assets.workers.base import WorkerError

    try:
        raise SystemExit(app(standalone_mode=False))
    except typer.Abort:
        fail("aborted")
    except (
        CatalogError,
        DemoError,
        DeploymentError,
        HomeError,
        InvalidModelKeyError,
        StoredResultError,
        UnknownVendorError,
        WorkerError,
    ) as error:
        fail(str(error))
    except typer.TyperException as error:  # wrong usage; 2, its own exit code, means FAIL here
        fail(error.format_message())
