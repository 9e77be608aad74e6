"""Measure flagrelease itself: ``python -m benchmarks [NAME ...] [--json FILE]``.

Prints figures against their aims and ends with 0 whatever they are: a slow machine is no defect. It ends
with 1 only if a benchmark itself breaks.
Belongs here: choosing and running benchmarks. Does not belong here: measuring.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from benchmarks import definitions_load, error_layers, many_cells, new_versions, releases
from benchmarks.figures import Figure, NotMeasurableError, Outcome, as_json, table

BENCHMARKS: Mapping[str, Callable[[], tuple[Figure, ...]]] = {
    "definitions_load": definitions_load.measure,
    "release_overhead": releases.measure_first,
    "second_release": releases.measure_unchanged,
    "second_model": releases.measure_second_model,
    "release_in_container": releases.measure_in_container,
    "error_layers": error_layers.measure_figures,
    "many_cells": many_cells.measure,
    "new_versions": new_versions.measure,
}


def run(name: str) -> Outcome:
    """Run one benchmark and return its figures, or why there are none."""
    try:
        return Outcome(name, BENCHMARKS[name]())
    except NotMeasurableError as reason:
        return Outcome(name, skipped=str(reason))
    except Exception as error:  # one broken benchmark must not hide the others
        traceback.print_exc()
        return Outcome(name, broken=f"{type(error).__name__}: {error}")


def main() -> int:
    """Run the benchmarks that were asked for, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    progress, outcomes = Console(stderr=True), []
    for name in arguments.names or BENCHMARKS:
        progress.print(f"measuring {name} …")
        outcomes.append(run(name))
    Console(width=None if sys.stdout.isatty() else 160).print(table(outcomes))
    if arguments.json:
        arguments.json.write_text(as_json(outcomes), encoding="utf-8")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
