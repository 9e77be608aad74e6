"""What every command uses: consoles, shared options, exit codes, the deployment.

Belongs here: what two command modules need. Does not belong here: any command.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

EXIT_CODES = {"PASS": 0, "SKIPPED": 0, "PARTIAL": 1, "FAIL": 2, "BLOCKED": 2}
EXIT_USAGE = 3

console = Console()
complaints = Console(stderr=True)

DeploymentOption = Annotated[
    Path | None,
    typer.Option(
        "--deployment", "-d", help="Deployment file; $FLAGRELEASE_DEPLOYMENT or ./flagrelease.yaml if absent."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def open_deployment(path: Path | None) -> Any:
    """Return the deployment resource, of `path` if one is given."""
    from flagrelease_assets.resources import DeploymentResource

    if path:
        use_deployment(path)
    return DeploymentResource()


def use_deployment(path: Path) -> None:
    """Make a deployment file the one of this process and of everything that it starts."""
    from flagrelease_assets.deployment import DEPLOYMENT_VARIABLE

    os.environ[DEPLOYMENT_VARIABLE] = str(path.absolute())


def resolve_vendor(name: str) -> str:
    """Return the canonical name of a vendor or alias; raises UnknownVendorError."""
    from flagrelease_assets.catalog import load_catalog

    return load_catalog().resolve_vendor(name)


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def fail(message: str) -> NoReturn:
    """Print one line of complaint and end with the exit code of wrong usage or configuration."""
    complaints.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(EXIT_USAGE)
