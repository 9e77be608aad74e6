"""`flagrelease ui`: the Dagster UI with its daemon, and the pages that it links to."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from flagrelease_assets.cli.common import DeploymentOption, console, open_deployment

STOP_GRACE_S = 30.0
"""How long the UI and its daemon may take to end when told to."""


def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    pages_port: Annotated[
        int | None, typer.Option(help="Port of the page server; `pages_url`'s if absent, 0 for none.")
    ] = None,
    deployment: DeploymentOption = None,
) -> None:
    """Open the Dagster UI with its daemon (sensors, queue, backfills) on this machine only.

    Beside it, reports, board and logs are served for the links in the UI.
    """
    from flagrelease_assets.deployment import DeploymentError
    from flagrelease_assets.home import ensure_home
    from flagrelease_assets.page_server import PageServerError, address_of

    resource = open_deployment(deployment)
    home = ensure_home()
    dagster = str(Path(sys.executable).with_name("dagster"))
    commands = [[dagster, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]]
    try:
        serving = pages_port if pages_port is not None else address_of(resource.load().pages_url)[1]
    except (DeploymentError, PageServerError) as error:  # the UI shows what is wrong with the deployment
        console.print(str(error), style="yellow", markup=False)
        serving = 0
    if serving:
        commands.append([sys.executable, "-m", "flagrelease_assets.cli", "pages", "--port", str(serving)])
    console.print(f"UI at http://127.0.0.1:{port} (instance {home}); end it with Ctrl-C", highlight=False)
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job is born ignoring SIGINT
        signal.signal(number, _end)
    raise typer.Exit(_run_together(commands))


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _run_together(commands: list[list[str]]) -> int:
    """Run commands until the first of them ends or an interrupt comes; returns the first's exit code."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [subprocess.Popen(command) for command in commands]
        return children[0].wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_GRACE_S)
