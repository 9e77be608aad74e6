"""Files below the base location: whole or not at all, typed, listed in one request.

Belongs here: writing, reading and listing. Does not belong here: which file is where (`store.py`).
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from flagrelease_assets.strict_reading import RefusedDocumentError, TooLargeError, read_ordinary

if TYPE_CHECKING:
    from upath import UPath

MAX_DOCUMENT_BYTES = 50_000_000

T = TypeVar("T")


class StoredResultError(Exception):
    """A stored file that cannot be read as the document that it should be; the file is kept."""

    def __init__(self, path: UPath, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


def is_local(path: UPath) -> bool:
    """Whether a path is in this machine's file system."""
    return path.protocol in ("", "file")


def write_whole(path: UPath, text: str) -> None:
    """Write a file so that a reader or a kill never meets a half one."""
    if not is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")  # object stores replace whole objects
        return
    target = Path(str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def read_as(path: UPath, kind: TypeAdapter[T], name: str) -> T | None:
    """Return a file's content as `kind`, or None if there is no file.

    Raises StoredResultError, which calls the content `name`, for a file that is no such thing.
    """
    try:
        text = _read_bounded(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, RefusedDocumentError) as error:
        raise StoredResultError(path, str(error)) from error
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        reason = first["msg"].removeprefix("Value error, ")
        raise StoredResultError(path, f"not a {name}: {key}: {reason}") from error


def _read_bounded(path: UPath) -> str:
    if is_local(path):
        return read_ordinary(Path(str(path)), MAX_DOCUMENT_BYTES).decode()
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise TooLargeError(f"larger than {MAX_DOCUMENT_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def names_in(folder: UPath) -> list[str]:
    """Return the names in a folder, sorted; an absent folder is an empty one."""
    try:
        if is_local(folder):
            return sorted(found.name for found in Path(str(folder)).iterdir())
        found: list[Any] = folder.fs.ls(folder.path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    below = folder.path.rstrip("/") + "/"  # some file systems list a file as if it were in itself
    return sorted(name.rstrip("/").rpartition("/")[2] for name in map(str, found) if name.startswith(below))
