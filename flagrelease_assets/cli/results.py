"""`flagrelease status` and `flagrelease board`: what is stored, at a glance."""

from __future__ import annotations

from rich.table import Table

from flagrelease_assets.cli.common import DeploymentOption, JsonOption, console, open_deployment, print_json


def status(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Show the newest verdict of every vendor and model."""
    from flagrelease_assets.assets.release.board import board_cells, expected_cells

    resource = open_deployment(deployment)
    resource.load()
    cells = board_cells(resource.store(), expected_cells(resource))
    if as_json:
        print_json([cell.model_dump(mode="json") for cell in cells])
        return
    table = Table("Vendor", "Model", "Verdict", "Stack", "Profiles", "tok/s", "When", "Why")
    for cell in cells:
        table.add_row(
            cell.vendor,
            cell.model,
            str(cell.verdict),
            str(cell.recommended_stack or "-"),
            cell.profiles_passed or "-",
            f"{cell.throughput_tok_s:.1f}" if cell.throughput_tok_s else "-",
            cell.created_at.strftime("%Y-%m-%d %H:%M") if cell.created_at else "-",
            cell.reason or "",
        )
    console.print(table)


def board(deployment: DeploymentOption = None) -> None:
    """Write the board's page from the stored reports and say where it is."""
    from flagrelease_assets.assets.release.board import write_board

    resource = open_deployment(deployment)
    resource.load()
    path, cells = write_board(resource)
    console.print(f"{len(cells)} cells: {path}")
