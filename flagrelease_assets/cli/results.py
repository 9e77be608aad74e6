"""`flagrelease status`, `board` and `pages`: what is stored, at a glance and as pages."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from flagrelease_assets.cli.common import DeploymentOption, JsonOption, console, open_deployment, print_json


def status(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Show the newest verdict of every vendor and model, its age, its trend and what changed.

    Cells that were never released are untested; `flagrelease backfill --missing-only` fills them.
    """
    from flagrelease_assets.assets.release.board import expected_cells
    from flagrelease_assets.reporting.status import status_view
    from flagrelease_assets.results.board import board_cells

    resource = open_deployment(deployment)
    resource.load()
    cells = board_cells(resource.store(), expected_cells(resource))
    if as_json:
        print_json([cell.model_dump(mode="json") for cell in cells])
    else:
        console.print(status_view(cells))


def board(
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the board's page from the stored reports, and say where it is or open it.

    With --open a page server is used if one answers (`flagrelease ui` has one); else this command serves the
    page until Ctrl-C.
    """
    from flagrelease_assets.assets.release.board import BOARD_FILE, write_board
    from flagrelease_assets.page_server import answers, serve

    resource = open_deployment(deployment)
    settings = resource.load()
    path, cells = write_board(resource)
    address = f"{settings.pages_url.rstrip('/')}/{BOARD_FILE}"
    if as_json:
        print_json({"file": path, "url": address, "cells": [cell.model_dump(mode="json") for cell in cells]})
        return
    console.print(f"{len(cells)} cells: {path}", highlight=False)
    if not open_page:
        return
    if answers(settings.pages_url):
        webbrowser.open(address)
        return
    console.print(f"serving {address} until Ctrl-C", highlight=False)
    serve(resource.store(), settings.pages_url, when_ready=lambda: webbrowser.open(address))


def pages(
    port: Annotated[int | None, typer.Option(help="Port on this machine; `pages_url`'s if absent.")] = None,
    deployment: DeploymentOption = None,
) -> None:
    """Serve reports, board, logs and result files on this machine only, read-only, until Ctrl-C."""
    from flagrelease_assets.page_server import serve

    resource = open_deployment(deployment)
    settings = resource.load()
    url = f"http://127.0.0.1:{port}" if port else settings.pages_url
    console.print(f"pages at {url}; end it with Ctrl-C", highlight=False)
    serve(resource.store(), url)
