"""The Dagster instance that the command line uses: where it is, and that it is configured.

Belongs here: $DAGSTER_HOME and `dagster.yaml`. Does not belong here: the deployment file, launching runs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import dagster as dg

HOME_VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = Path(".flagrelease/home")
INSTANCE_FILE = "dagster.yaml"


class HomeError(Exception):
    """The Dagster instance cannot be opened; the message says what to do."""


def ensure_home(project: Path | None = None) -> Path:
    """Return the instance's folder, made and configured if need be, and set $DAGSTER_HOME to it.

    $DAGSTER_HOME wins where it is set; else it is `.flagrelease/home` in this folder. An instance
    without `dagster.yaml` gets the project's. Raises HomeError if there is none to copy.
    """
    home = Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).absolute()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / INSTANCE_FILE).exists():
        source = (project or Path.cwd()) / INSTANCE_FILE
        if not source.exists():
            raise HomeError(
                f"{home} has no {INSTANCE_FILE} and {source} does not exist: run this in the project's "
                f"folder, or set {HOME_VARIABLE} to a configured instance"
            )
        shutil.copyfile(source, home / INSTANCE_FILE)
    os.environ[HOME_VARIABLE] = str(home)
    return home


def open_instance() -> dg.DagsterInstance:
    """Return the configured instance; raises HomeError."""
    ensure_home()
    return dg.DagsterInstance.get()
