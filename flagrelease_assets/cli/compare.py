"""`flagrelease compare`: this release against the last good one, vendors, models, or over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagrelease_assets.cli.common import (
    DeploymentOption,
    JsonOption,
    console,
    fail,
    open_deployment,
    print_json,
    resolve_vendor,
)

if TYPE_CHECKING:
    from flagrelease_assets.results.comparison import Comparison


def compare(
    vendors: Annotated[str, typer.Argument(metavar="VENDOR[,VENDOR…]", help="One vendor, or several.")],
    models: Annotated[str, typer.Argument(metavar="MODEL[,MODEL…]", help="One model, or several.")],
    run: Annotated[str | None, typer.Option(help="Run to look at; the newest if absent.")] = None,
    against: Annotated[
        str, typer.Option(help="Run to hold it against, or `last-pass`: the last PASS before it.")
    ] = "last-pass",
    over_time: Annotated[bool, typer.Option("--over-time", help="Every release, oldest first.")] = False,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare releases: which inputs changed, and how the figures moved.

    One VENDOR and MODEL: the newest release (or --run) against the last PASS before it (or --against).
    Several vendors or models: the newest release of each against that of the first.
    """
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.reporting.comparisons import comparison_view, timeline_view
    from flagrelease_assets.results.comparison import compare_rows
    from flagrelease_assets.results.releases import (
        NothingToCompareError,
        newest_release,
        release_pair,
        releases,
    )

    resource = open_deployment(deployment)
    resource.load()
    store = resource.store()
    cells = [
        (resolve_vendor(vendor.strip()), model_key(model.strip()))
        for vendor in vendors.split(",")
        for model in models.split(",")
    ]
    try:
        if over_time:
            timelines = {f"{vendor} {model}": releases(store, vendor, model) for vendor, model in cells}
        elif len(cells) == 1:
            comparisons = [compare_rows(*release_pair(store, *cells[0], run, against))]
        else:
            first, *others = [newest_release(store, *cell) for cell in cells]
            comparisons = [compare_rows(first, other) for other in others]
    except NothingToCompareError as error:
        fail(str(error))
    if over_time:
        plain: Any = {name: [row.model_dump(mode="json") for row in rows] for name, rows in timelines.items()}
        view = timeline_view(timelines)
    else:
        plain, view = [_plain(comparison) for comparison in comparisons], comparison_view(comparisons)
    if as_json:
        print_json(plain)
    else:
        console.print(view)


def _plain(comparison: Comparison) -> dict[str, Any]:
    metrics = [{**item.model_dump(), "change_percent": item.change_percent} for item in comparison.metrics]
    return {**comparison.model_dump(mode="json"), "metrics": metrics}
