"""Choose the FlagTree wheel for a vendor, Python, C library, architecture and required Triton.

Belongs here: reading loosely written versions, and the choice among the rows of a wheel table.
Does not belong here: the tables (catalog), installing the wheel.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from typing import List, Mapping, Optional, Sequence, Tuple

if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts.catalog_data import (
    Record,
    default_flagtree_table,
    flagtree_tables,
    resolve_vendor,
    vendor_record,
)
from container_scripts.document import Document, run_program

Version = Tuple[int, ...]

ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}
_VERSION = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})*)")
_VARIANT = re.compile(r"^(?P<backend>.+)_(?P<triton>[0-9]+\.[0-9]+)$")


def parse_version(text: Optional[str]) -> Optional[Version]:
    """Return the leading numbers of a version without trailing zeros ("2.35-0ubuntu3" -> (2, 35)).

    Returns None if the text does not start with a number.
    """
    match = _VERSION.match(text or "")
    if not match:
        return None
    numbers = [int(part) for part in match.group(1).split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def parse_series(text: Optional[str]) -> Optional[Version]:
    """Return major and minor number of a version ("3.12.3" -> (3, 12)), None if they are not there."""
    match = _VERSION.match(text or "")
    numbers = [int(part) for part in match.group(1).split(".")] if match else []
    return tuple(numbers[:2]) if len(numbers) > 1 else None


def select_wheel(
    vendor: str,
    python: Optional[str],
    glibc: Optional[str],
    triton: Optional[str] = None,
    arch: Optional[str] = None,
    libc: Optional[str] = None,
    table: Optional[str] = None,
    variant: Optional[str] = None,
    tables: Optional[Mapping[str, Record]] = None,
) -> Document:
    """Return the document that names the wheel, or says why there is none; never raises on any text.

    The required ``triton`` decides among a vendor's rows, a ``variant`` ("nvidia_3.2") names one row,
    and without either it is the base row. Versions may carry patch numbers and suffixes. Without
    ``arch`` the architecture is not checked. ``vendor`` may be an alias, a table row's backend, or a
    variant. ``tables`` replaces the catalog's tables.
    """
    known_tables = flagtree_tables() if tables is None else tables
    wanted_table = table or default_flagtree_table()
    variant = variant or (vendor if _VARIANT.match(vendor) else None)
    vendor = _VARIANT.sub(r"\g<backend>", vendor)
    header: Document = {
        "vendor": vendor,
        "python_version": python,
        "glibc_version": glibc,
        "libc": libc,
        "arch": arch,
        "required_triton": triton,
        "variant": variant,
        "table": wanted_table,
    }
    chosen_table = known_tables.get(wanted_table)
    if chosen_table is None:
        suggestion = f"Name one of the tables: {', '.join(known_tables)}."
        return {**header, **_not_found("table_unknown", suggestion, [], [])}
    rows = _rows_of(vendor, chosen_table)
    problem = _unusable_input(vendor, rows, python, glibc, libc, triton)
    if problem:
        return {**header, **_not_found(problem[0], problem[1], [], rows)}
    mismatches = [_mismatch(row, python, glibc, arch) for row in rows]
    candidates = [row for row, mismatch in zip(rows, mismatches) if mismatch is None]
    if not candidates:
        reason, suggestion = _closest(mismatches), "Use a worker that one of the listed wheels fits."
        return {**header, **_not_found(reason, suggestion, [], rows)}
    chosen = _choose(candidates, triton, variant)
    if chosen is not None:
        return {**header, **_found(chosen, candidates, rows, chosen_table)}
    reason, suggestion = _no_choice(candidates, triton, variant)
    return {**header, **_not_found(reason, suggestion, candidates, rows)}


def _rows_of(vendor: str, table: Record) -> List[Record]:
    """Return the table's rows for a vendor, alias, or backend name."""
    name = vendor.strip().lower()
    try:
        backend = vendor_record(name)["flagtree_row"]
    except ValueError:
        backend = name
    return [row for row in table["rows"] if row["backend"] == backend]


def _unusable_input(
    vendor: str,
    rows: Sequence[Record],
    python: Optional[str],
    glibc: Optional[str],
    libc: Optional[str],
    triton: Optional[str],
) -> Optional[Tuple[str, str]]:
    """Return (reason, suggestion) if the question cannot be answered from the rows at all."""
    if not rows:
        try:
            record = vendor_record(resolve_vendor(vendor))
        except ValueError as error:
            return "vendor_unknown", f"{error}."
        return "no_wheel_for_vendor", record["flagtree_reason"] or "Try another table, or build from source."
    if "musl" in (libc or "").lower() or "musl" in (glibc or "").lower():
        return "libc_musl", "FlagTree wheels need glibc: use an image with glibc."
    if parse_series(python) is None:
        return "python_unknown", "Give the Python version as major.minor, for example 3.11."
    if parse_version(glibc) is None:
        return "glibc_unknown", "Give the glibc version as major.minor, for example 2.35."
    if triton and parse_series(triton) is None:
        return "triton_unknown", "Give the required Triton version as major.minor, for example 3.5."
    return None


def _mismatch(row: Record, python: Optional[str], glibc: Optional[str], arch: Optional[str]) -> Optional[str]:
    """Return why the worker cannot take this row, None if it can."""
    wanted_arch = (arch or "").strip().lower()
    if wanted_arch and ARCHITECTURES.get(wanted_arch, wanted_arch) not in row["architectures"]:
        return "architecture_mismatch"
    if parse_series(python) not in [parse_series(version) for version in row["python"]]:
        return "python_mismatch"
    if (parse_version(glibc) or ()) < (parse_version(row["min_glibc"]) or ()):
        return "glibc_too_old"
    return None


def _closest(mismatches: Sequence[Optional[str]]) -> str:
    """Return the reason of the row that came furthest: glibc is checked last, the architecture first."""
    order = ("glibc_too_old", "python_mismatch", "architecture_mismatch")
    return next(reason for reason in order if reason in mismatches)


def _choose(candidates: Sequence[Record], triton: Optional[str], variant: Optional[str]) -> Optional[Record]:
    """Return the row that the required Triton or the variant names; without either the base row."""
    series = parse_series(triton)
    for row in candidates:
        named = row["row"] == (variant.strip().lower() if variant else row["row"])
        provides = series is None or parse_series(row["triton"]) == series
        base = bool(variant) or series is not None or row["row"] == row["backend"]
        if named and provides and base:
            return row
    return None


def _no_choice(
    candidates: Sequence[Record], triton: Optional[str], variant: Optional[str]
) -> Tuple[str, str]:
    """Return (reason, suggestion) when the worker could take some rows, but not the wanted one."""
    provided = ", ".join(row["triton"] for row in candidates)
    if triton:
        return "triton_mismatch", (
            f"Triton {triton} is required; the wheels for this worker provide {provided}. "
            "Another stack release, Python or glibc may have one."
        )
    if variant:
        names = ", ".join(row["row"] for row in candidates)
        return "variant_unavailable", f"Variants for this worker: {names}."
    return (
        "base_row_mismatch",
        f"The base wheel does not fit; require one of these Triton versions: {provided}.",
    )


def _found(row: Record, candidates: Sequence[Record], rows: Sequence[Record], table: Record) -> Document:
    pip_args = [
        f"--index-url={table['index_url']}",
        f"--trusted-host={table['trusted_host']}",
        "--no-deps",
    ]
    argv = ["python3", "-m", "pip", "install", *pip_args, row["specifier"]]
    return {
        "status": "FOUND",
        "row": row["row"],
        "triton": row["triton"],
        "specifier": row["specifier"],
        "pip_args": pip_args,
        "install_argv": argv,
        "install_cmd": " ".join(shlex.quote(item) for item in argv),
        "candidates": list(candidates),
        "available_for_vendor": list(rows),
        "reason": None,
        "suggestion": None,
    }


def _not_found(
    reason: str, suggestion: str, candidates: Sequence[Record], rows: Sequence[Record]
) -> Document:
    return {
        "status": "NOT_FOUND",
        "row": None,
        "triton": None,
        "specifier": None,
        "pip_args": [],
        "install_argv": [],
        "install_cmd": None,
        "candidates": list(candidates),
        "available_for_vendor": list(rows),
        "reason": reason,
        "suggestion": suggestion,
    }


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Choose the FlagTree wheel for a worker.")
    parser.add_argument("--vendor", required=True, help="vendor or alias, or a variant such as nvidia_3.2")
    parser.add_argument("--python", required=True, help="Python version, 3.11 or 3.11.4")
    parser.add_argument("--glibc", default=None, help="glibc version, 2.35 or 2.35-0ubuntu3")
    parser.add_argument("--triton", default=None, metavar="X.Y", help="Triton version that torch requires")
    parser.add_argument("--arch", default=None, help="machine architecture, x86_64 or aarch64")
    parser.add_argument("--libc", default=None, choices=["glibc", "musl", "unknown"])
    parser.add_argument("--table", default=None, metavar="ID", help="wheel table of the stack release")
    parser.add_argument("--variant", default=None, help="a row by name, for example nvidia_3.2")
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body."""
    return select_wheel(
        vendor=arguments.vendor,
        python=arguments.python,
        glibc=arguments.glibc,
        triton=arguments.triton,
        arch=arguments.arch,
        libc=arguments.libc,
        table=arguments.table,
        variant=arguments.variant,
    )


if __name__ == "__main__":
    sys.exit(run_program("select_flagtree_wheel", build_parser(), observe))
