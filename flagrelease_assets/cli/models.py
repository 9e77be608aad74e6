"""`flagrelease models …`: the models of the deployment file."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from flagrelease_assets.cli.common import DeploymentOption, JsonOption, console, open_deployment, print_json


def list_models(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Show the models of the deployment file with their partition keys."""
    models = open_deployment(deployment).load().models
    if as_json:
        print_json([{"key": model.key, **model.model_dump(mode="json")} for model in models])
        return
    table = Table(
        Column("Key", overflow="fold"), Column("Id", overflow="fold"), "Source", "Revision", "dtype", "TP"
    )
    for model in models:
        table.add_row(
            model.key,
            model.id,
            model.source,
            model.revision or "newest",
            model.dtype,
            str(model.tensor_parallel_size),
        )
    console.print(table)


def add_model(
    model: Annotated[str, typer.Argument(help="Model id or key of the deployment file.")],
    deployment: DeploymentOption = None,
) -> None:
    """Add the partition of a configured model now, so that the UI can launch it (a sensor does so too)."""
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.home import open_instance
    from flagrelease_assets.partitions import MODEL_DIMENSION

    entry = open_deployment(deployment).load().model(model_key(model))
    with open_instance() as instance:
        instance.add_dynamic_partitions(MODEL_DIMENSION, [entry.key])
    console.print(f"partition {entry.key} is there")
