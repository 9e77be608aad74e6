"""What a model reference is, and what a look-up of it can find.

Belongs here: the vocabulary that every source shares, and the digest that names a version.
Does not belong here: requests to a hub, reading of folders, scheduling of look-ups.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Protocol, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.problem import LookupProblem

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
ModelId = Annotated[str, Field(pattern=rf"^{_SEGMENT}(/{_SEGMENT})?$", max_length=200)]
"""`org/name`, or `name` alone; safe as a part of a URL path."""


class ModelSource(StrEnum):
    """Where a model's files come from."""

    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"
    FOLDER = "folder"


class ModelReference(BaseModel):
    """A model as the deployment names it.

    `id` is `org/name` (Hugging Face also has models without an organisation); `revision` is a branch, tag or
    commit of a hub, None for the hub's default branch; `path` is the absolute path of a folder.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    id: ModelId
    source: ModelSource
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    path: str | None = None

    @model_validator(mode="after")
    def _fields_fit_the_source(self) -> Self:
        if self.source is ModelSource.FOLDER:
            if self.path is None or not PurePosixPath(self.path).is_absolute():
                raise ValueError(f"model {self.id}: source folder needs `path`, an absolute path")
            if self.revision is not None:
                raise ValueError(f"model {self.id}: a folder has no revisions; remove `revision`")
        elif self.path is not None:
            raise ValueError(f"model {self.id}: `path` is for source folder only; remove it")
        if self.source is ModelSource.MODELSCOPE and "/" not in self.id:
            raise ValueError(f"model {self.id}: ModelScope names models as organisation/name")
        return self


class ModelFile(BaseModel):
    """One file of a model: its path inside the model and its size in bytes."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    name: str = Field(min_length=1)
    bytes: int = Field(ge=0)


class ModelVersionFacts(BaseModel):
    """The version of a model that its source offers now.

    `revision` is the commit on a hub, or the digest of a folder's content; `data_version` is the sha256 of
    id, revision and file list; `etag` lets the next look-up ask only for changes; `renamed_to` is set where
    the hub knows the model under another id by now.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    id: str
    source: ModelSource
    revision: str
    last_modified: AwareDatetime | None
    files: tuple[ModelFile, ...]
    total_bytes: int
    config: ConfigFacts | None
    data_version: str
    etag: str | None = None
    renamed_to: str | None = None

    @classmethod
    def of(
        cls,
        reference: ModelReference,
        *,
        revision: str,
        last_modified: datetime | None,
        files: Iterable[ModelFile],
        config: ConfigFacts | None,
        etag: str | None = None,
        renamed_to: str | None = None,
    ) -> Self:
        """Build the facts with what follows from them: order of files, total size, data version.

        Raises `LookupProblem` where there is no file: a version without files cannot be released.
        """
        ordered = tuple(sorted(files, key=lambda file: file.name))
        if not ordered:
            raise LookupProblem("the model has no files")
        return cls(
            id=reference.id,
            source=reference.source,
            revision=revision,
            last_modified=last_modified,
            files=ordered,
            total_bytes=sum(file.bytes for file in ordered),
            config=config,
            data_version=_digest(reference.id, revision, ordered),
            etag=etag,
            renamed_to=renamed_to,
        )


class Deferred(BaseModel):
    """A model whose version could not be told this time, and why.

    `retry_after_s` is the wait in seconds that the hub asked for, None where it named none.
    """

    model_config = ConfigDict(defer_build=True, frozen=True)

    id: str
    source: ModelSource
    reason: str
    retry_after_s: float | None = None


class VersionSource(Protocol):
    """A hub or the local folders: one look-up at a time."""

    async def look_up(
        self, reference: ModelReference, previous: ModelVersionFacts | None
    ) -> ModelVersionFacts:
        """Tell the version offered now; `previous` spares requests. Raises `LookupProblem`."""
        ...


def _digest(model_id: str, revision: str, files: tuple[ModelFile, ...]) -> str:
    content = [model_id, revision, [[file.name, file.bytes] for file in files]]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
