"""The result store: every result of every run as one JSON file under any fsspec location.

Layout: `<base>/<step>/<vendor>/<model>/<run_id>.json` (history, written first), `latest.json` and
`latest_pass.json` beside it, `<base>/fingerprints/<step>/<vendor>/<fingerprint>.json` for results that
do not depend on the model, `<base>/logs/<vendor>/<model>/<run_id>/<step>/<job>.log`.

Belongs here: paths, atomic writing, typed reading.
Does not belong here: Dagster, comparison over time.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from flagrelease_assets.contracts import STEP_DOCUMENTS
from flagrelease_assets.contracts.common import Status, StepDocument

if TYPE_CHECKING:
    from upath import UPath

LATEST = "latest.json"
LATEST_PASS = "latest_pass.json"
MAX_DOCUMENT_BYTES = 50_000_000

D = TypeVar("D", bound=StepDocument)


class StoredResultError(Exception):
    """A stored file that cannot be read as the document that it should be; the file is kept."""

    def __init__(self, path: UPath, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


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

        A kill between two writes leaves at worst an older `latest`, never a half file.
        """
        text = document.model_dump_json(indent=1)
        folder = self.folder(document.step, document.vendor, document.model)
        history = folder / f"{_safe(document.run_id)}.json"
        _write(history, text)
        _write(folder / LATEST, text)
        if document.status == Status.PASS:
            _write(folder / LATEST_PASS, text)
            if document.fingerprint:
                _write(self._fingerprint_file(document.step, document.vendor, document.fingerprint), text)
        return history

    def latest(self, step: str, vendor: str, model: str) -> StepDocument | None:
        """Return the newest document of a step, or None; raises StoredResultError if it is unreadable."""
        return _read(self.folder(step, vendor, model) / LATEST, STEP_DOCUMENTS[step])

    def latest_pass(self, step: str, vendor: str, model: str) -> StepDocument | None:
        """Return the newest document with status PASS, or None."""
        return _read(self.folder(step, vendor, model) / LATEST_PASS, STEP_DOCUMENTS[step])

    def pass_with_fingerprint(self, step: str, vendor: str, fingerprint: str) -> StepDocument | None:
        """Return a PASS of this step and vendor with this fingerprint, whichever model it was for."""
        return _read(self._fingerprint_file(step, vendor, fingerprint), STEP_DOCUMENTS[step])

    def of_run(self, step: str, vendor: str, model: str, run_id: str) -> StepDocument | None:
        """Return the document that one run stored, or None."""
        return _read(self.folder(step, vendor, model) / f"{_safe(run_id)}.json", STEP_DOCUMENTS[step])

    def put_aside(self, error: StoredResultError) -> UPath:
        """Rename an unreadable file so that nothing overwrites it; returns where it is now."""
        name = f"{error.path.name}.unreadable-{uuid.uuid4().hex[:8]}"
        return error.path.rename(error.path.with_name(name))

    def cells(self, step: str) -> Iterator[tuple[str, str]]:
        """Yield every (vendor, model) that has a result of this step."""
        top = self.root / _safe(step)
        if not top.exists():
            return
        for vendor in _folders(top):
            for model in _folders(vendor):
                yield vendor.name, model.name

    def log_name(self, vendor: str, model: str, run_id: str, step: str, file: str) -> str:
        """Return where a job's log is kept, relative to the base."""
        return "/".join(("logs", *map(_safe, (vendor, model, run_id, step, file))))

    def put_text(self, name: str, text: str) -> UPath:
        """Write a text file to `name` below the base; returns where it is."""
        target = self.root / name
        _write(target, text)
        return target

    def _fingerprint_file(self, step: str, vendor: str, fingerprint: str) -> UPath:
        return self.root / "fingerprints" / _safe(step) / _safe(vendor) / f"{_safe(fingerprint)}.json"


def _folders(path: UPath) -> list[UPath]:
    return sorted((found for found in path.iterdir() if found.is_dir()), key=lambda found: found.name)


def _safe(name: str) -> str:
    """Return ``name`` if it is a single path component; raises ValueError for path tricks."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} cannot be part of a result's path")
    return name


def _write(path: UPath, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.protocol not in ("", "file"):
        path.write_text(text, encoding="utf-8")  # object stores replace whole objects
        return
    temporary = Path(str(path)).with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(Path(str(path)))
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: UPath, document: type[D]) -> D | None:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise StoredResultError(path, f"larger than {MAX_DOCUMENT_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoredResultError(path, str(error)) from error
    try:
        return document.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        reason = first["msg"].removeprefix("Value error, ")
        raise StoredResultError(path, f"not a {document.__name__}: {key}: {reason}") from error
