"""The rows of one vendor and model in one small file beside their documents, mended where it is wrong.

The file is derived: what counts is the documents. A writer that lost a race, a kill before the last write
or a store of an older version leave a file without some rows; a reader sees it by the names in the folder.

Belongs here: reading, mending and writing that file. Does not belong here: what a row says (`rows.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, TypeAdapter

from flagrelease_assets.contracts.common import StepDocument
from flagrelease_assets.results.files import StoredResultError, names_in, read_as, write_whole
from flagrelease_assets.results.rows import ResultFacts, ResultRow, row_of

if TYPE_CHECKING:
    from upath import UPath

ROWS = "rows.json"
ROWS_VERSION = 2
"""Raised whenever rows are made in another way: others are made again from their documents."""

_SUFFIX = ".json"
_NO_HISTORY = frozenset({"latest.json", "latest_pass.json", ROWS})


@dataclass(frozen=True)
class Rows:
    """The rows of one cell, oldest measurement first, and the files that could not be read."""

    rows: tuple[ResultRow, ...] = ()
    unreadable: tuple[StoredResultError, ...] = ()

    @property
    def newest(self) -> ResultRow | None:
        """The newest row, or None."""
        return self.rows[-1] if self.rows else None


def history_files(names: Iterable[str]) -> list[str]:
    """Return the names in a cell's folder that are results of runs."""
    return [
        name
        for name in names
        if name.endswith(_SUFFIX) and not name.startswith(".") and name not in _NO_HISTORY
    ]


def read_facts(folder: UPath, read_document: Callable[[str], StepDocument | None]) -> list[ResultFacts]:
    """Return a cell's rows without their figures, which is several times faster where there are many."""
    names = names_in(folder)
    runs = {name.removesuffix(_SUFFIX) for name in history_files(names)}
    try:
        found = read_as(folder / ROWS, _facts_adapter(), "list of rows") if ROWS in names else None
    except StoredResultError:
        found = None
    if found is None or found.version != ROWS_VERSION or {row.run_id for row in found.rows} != runs:
        return list(read_rows(folder, read_document).rows)
    return sorted(found.rows, key=_order)


def record_row(folder: UPath, document: StepDocument) -> None:
    """Put a document's row into the file of its cell; a failure costs nothing that a reader cannot mend."""
    with suppress(OSError):
        others = [row for row in _stored(folder) if row.run_id != document.run_id]
        save_rows(folder, [*others, row_of(document)])


def read_rows(folder: UPath, read_document: Callable[[str], StepDocument | None]) -> Rows:
    """Return the rows of a cell; those that are missing are made of their documents and saved."""
    names = names_in(folder)
    runs = {name.removesuffix(_SUFFIX) for name in history_files(names)}
    stored = [row for row in (_stored(folder) if ROWS in names else ()) if row.run_id in runs]
    missing = runs.difference(row.run_id for row in stored)
    if not missing:
        return Rows(tuple(sorted(stored, key=_order)))
    unreadable: list[StoredResultError] = []
    made: list[ResultRow] = []
    for run in sorted(missing):
        try:
            document = read_document(run + _SUFFIX)
        except StoredResultError as error:
            unreadable.append(error)
        else:
            made += [row_of(document)] if document else []
    if made:
        with suppress(OSError):  # a reader may not be allowed to write
            save_rows(folder, [*stored, *made])
    return Rows(tuple(sorted([*stored, *made], key=_order)), tuple(unreadable))


def _order(row: ResultFacts) -> tuple[float, str]:
    return row.created_at.timestamp(), row.run_id


class _RowsFile(BaseModel):
    model_config = ConfigDict(defer_build=True)

    version: int
    rows: list[ResultRow]


class _FactsFile(BaseModel):
    model_config = ConfigDict(defer_build=True)

    version: int
    rows: list[ResultFacts]


@cache
def _facts_adapter() -> TypeAdapter[_FactsFile]:
    return TypeAdapter(_FactsFile)


@cache
def _adapter() -> TypeAdapter[_RowsFile]:
    return TypeAdapter(_RowsFile)


def _stored(folder: UPath) -> list[ResultRow]:
    try:
        found = read_as(folder / ROWS, _adapter(), "list of rows")
    except StoredResultError:
        return []
    return found.rows if found and found.version == ROWS_VERSION else []


def save_rows(folder: UPath, rows: Sequence[ResultRow]) -> None:
    """Write the rows of a cell."""
    content = _RowsFile(version=ROWS_VERSION, rows=sorted(rows, key=_order))
    write_whole(folder / ROWS, content.model_dump_json(exclude_defaults=True))
