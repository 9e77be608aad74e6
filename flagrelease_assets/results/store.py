"""The result store: every result of every run as one JSON file under any fsspec location.

Layout: `<base>/<step>/<vendor>/<model>/<run_id>.json` (history, written first), with `latest.json`,
`latest_pass.json` and the derived `rows.json` beside it;
`<base>/fingerprints/<step>/<vendor>/<fingerprint>.json` for results that do not depend on the model;
`<base>/logs/<vendor>/<model>/<run_id>/<step>/<job>.log`.

Belongs here: which file is where, and in which order files are written.
Does not belong here: how a file is written or read (`files.py`), comparison over time, Dagster.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from flagrelease_assets.contracts import STEP_DOCUMENTS
from flagrelease_assets.contracts.common import Status, StepDocument
from flagrelease_assets.results.files import (
    MAX_DOCUMENT_BYTES,
    StoredResultError,
    names_in,
    read_as,
    write_whole,
)
from flagrelease_assets.results.index import Rows, history_files, read_facts, read_rows, record_row
from flagrelease_assets.results.rows import ResultFacts, ResultRow

if TYPE_CHECKING:
    from upath import UPath

LATEST = "latest.json"
LATEST_PASS = "latest_pass.json"

__all__ = ["LATEST", "LATEST_PASS", "MAX_DOCUMENT_BYTES", "History", "ResultStore", "StoredResultError"]


@dataclass(frozen=True)
class History:
    """Every stored result of one step for one vendor and model, oldest measurement first."""

    documents: tuple[StepDocument, ...]
    unreadable: tuple[StoredResultError, ...]


@dataclass(frozen=True)
class ResultStore:
    """Read and write step documents under one base location (folder or fsspec URL)."""

    base: str

    @property
    def root(self) -> UPath:
        """The base location as a path."""
        from upath import UPath  # brings fsspec with it, which loading the definitions does not need

        return UPath(self.base)

    def folder(self, step: str, vendor: str, model: str) -> UPath:
        """Return the folder of all results of one step for one vendor and model."""
        return self.root / _safe(step) / _safe(vendor) / _safe(model)

    def put(self, document: StepDocument) -> UPath:
        """Store a document: history first, then latest (and latest pass); returns the history file.

        A kill between two writes leaves at worst an older `latest`, never a half file; rows heal when read.
        """
        text = document.model_dump_json(indent=1)
        folder = self.folder(document.step, document.vendor, document.model)
        history = folder / f"{_safe(document.run_id)}.json"
        write_whole(history, text)
        write_whole(folder / LATEST, text)
        if document.status == Status.PASS:
            write_whole(folder / LATEST_PASS, text)
            if document.fingerprint:
                write_whole(
                    self._fingerprint_file(document.step, document.vendor, document.fingerprint), text
                )
        record_row(folder, document)
        return history

    def latest(self, step: str, vendor: str, model: str) -> StepDocument | None:
        """Return the newest document of a step, or None; raises StoredResultError if it is unreadable."""
        return _document(self.folder(step, vendor, model) / LATEST, step)

    def latest_pass(self, step: str, vendor: str, model: str) -> StepDocument | None:
        """Return the newest document with status PASS, or None."""
        return _document(self.folder(step, vendor, model) / LATEST_PASS, step)

    def pass_with_fingerprint(self, step: str, vendor: str, fingerprint: str) -> StepDocument | None:
        """Return a PASS of this step and vendor with this fingerprint, whichever model it was for."""
        return _document(self._fingerprint_file(step, vendor, fingerprint), step)

    def of_run(self, step: str, vendor: str, model: str, run_id: str) -> StepDocument | None:
        """Return the document that one run stored, or None."""
        return _document(self.folder(step, vendor, model) / f"{_safe(run_id)}.json", step)

    def history(self, step: str, vendor: str, model: str) -> History:
        """Return every result of one step for one vendor and model; unreadable files are kept and named."""
        folder = self.folder(step, vendor, model)
        documents: list[StepDocument] = []
        unreadable: list[StoredResultError] = []
        for name in history_files(names_in(folder)):
            try:
                document = _document(folder / name, step)
            except StoredResultError as error:
                unreadable.append(error)
            else:
                documents += [document] if document else []
        return History(
            tuple(sorted(documents, key=lambda found: (found.created_at, found.run_id))), tuple(unreadable)
        )

    def rows(self, step: str, vendor: str, model: str) -> Rows:
        """Return the rows of one step for one vendor and model, oldest first."""
        folder = self.folder(step, vendor, model)
        return read_rows(folder, lambda name: _document(folder / name, step))

    def facts(self, step: str, vendor: str, model: str) -> list[ResultFacts]:
        """Return the rows of one step for one vendor and model without their figures, oldest first."""
        folder = self.folder(step, vendor, model)
        return read_facts(folder, lambda name: _document(folder / name, step))

    def all_rows(
        self, step: str, vendor: str | None = None, model: str | None = None
    ) -> Iterator[tuple[tuple[str, str], Rows]]:
        """Yield the rows of every cell of a step, as ((vendor, model), rows), with one listing a cell."""
        for found_vendor, found_model in self.cells(step):
            if vendor in (None, found_vendor) and model in (None, found_model):
                yield (found_vendor, found_model), self.rows(step, found_vendor, found_model)

    def newest_row(self, step: str, vendor: str, model: str) -> ResultRow | None:
        """Return the row of the newest result, or None."""
        return self.rows(step, vendor, model).newest

    def put_aside(self, error: StoredResultError) -> UPath:
        """Rename an unreadable file so that nothing overwrites it; returns where it is now."""
        name = f"{error.path.name}.unreadable-{uuid.uuid4().hex[:8]}"
        return error.path.rename(error.path.with_name(name))

    def cells(self, step: str) -> Iterator[tuple[str, str]]:
        """Yield every (vendor, model) that has a result of this step."""
        top = self.root / _safe(step)
        for vendor in names_in(top):
            for model in names_in(top / vendor):
                yield vendor, model

    def log_name(self, vendor: str, model: str, run_id: str, step: str, file: str) -> str:
        """Return where a job's log is kept, relative to the base."""
        return "/".join(("logs", *map(_safe, (vendor, model, run_id, step, file))))

    def put_text(self, name: str, text: str) -> UPath:
        """Write a text file to `name` below the base; returns where it is."""
        target = self.root / name
        write_whole(target, text)
        return target

    def _fingerprint_file(self, step: str, vendor: str, fingerprint: str) -> UPath:
        return self.root / "fingerprints" / _safe(step) / _safe(vendor) / f"{_safe(fingerprint)}.json"


def _safe(name: str) -> str:
    """Return ``name`` if it is a single path component; raises ValueError for path tricks."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} cannot be part of a result's path")
    return name


@cache
def _adapter(step: str) -> TypeAdapter[StepDocument]:
    return TypeAdapter(STEP_DOCUMENTS[step])


def _document(path: UPath, step: str) -> StepDocument | None:
    return read_as(path, _adapter(step), STEP_DOCUMENTS[step].__name__)
