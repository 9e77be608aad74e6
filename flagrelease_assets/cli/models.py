"""`flagrelease models …`: the models of the deployment file."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from flagrelease_assets.cli.common import (
    DeploymentOption,
    JsonOption,
    complaints,
    console,
    open_deployment,
    print_json,
)


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
    model: Annotated[str, typer.Argument(help="Model id (org/name); a new one gets an entry in the file.")],
    source: Annotated[str, typer.Option(help="huggingface or modelscope, for a new entry.")] = "huggingface",
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add MODEL to the deployment file if it is not there, and its partition, so that the UI can launch it.

    The entry is written below `models:`; everything else in the file stays as it is.
    """
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.deployment import DeploymentError
    from flagrelease_assets.deployment.editing import add_model_entry
    from flagrelease_assets.home import open_instance
    from flagrelease_assets.partitions import MODEL_DIMENSION

    resource = open_deployment(deployment)
    try:
        entry, added = resource.load().model(model_key(model)), False
    except DeploymentError:
        entry, added = add_model_entry(resource.file, model, source), True
    with open_instance() as instance:
        instance.add_dynamic_partitions(MODEL_DIMENSION, [entry.key])
    if as_json:
        print_json({"key": entry.key, "added_to_file": added, **entry.model_dump(mode="json")})
        return
    if added:
        console.print(f"added to {resource.file}", highlight=False)
    console.print(f"partition {entry.key} is there", highlight=False)


def discover_models(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Say which models the `discovery:` rules find on their hubs now; changes nothing.

    The sensor model_versions does the same and adds them.
    """
    from flagrelease_assets.sensors.model_versions import discovered_models

    found, problems = discovered_models(open_deployment(deployment).load())
    if as_json:
        print_json({"models": [{"key": entry.key, "id": entry.id} for entry in found], "problems": problems})
        return
    for entry in found:
        console.print(f"{entry.id}  partition {entry.key}", highlight=False)
    for problem in problems:
        complaints.print(problem, style="yellow", markup=False)
    console.print(f"{len(found)} models found by the rules that have no entry of their own")
