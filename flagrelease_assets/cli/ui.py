"""`flagrelease ui`: the Dagster UI with its daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flagrelease_assets.cli.common import DeploymentOption, console, open_deployment


def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    deployment: DeploymentOption = None,
) -> None:
    """Open the Dagster UI with its daemon (sensors, queue, backfills) on this machine only."""
    from flagrelease_assets.home import ensure_home

    open_deployment(deployment)
    home = ensure_home()
    console.print(f"UI at http://127.0.0.1:{port} (instance {home}); end it with Ctrl-C")
    dagster = str(Path(sys.executable).with_name("dagster"))
    arguments = ["dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(dagster, [dagster, *arguments])
