"""Versions of models on ModelScope.

Belongs here: the paths, documents and refusals of that hub.
Does not belong here: how a request is made, retried or bounded.

Relied upon (public API as used by the modelscope_hub client, version 0.4):
- `GET /api/v1/models/{id}/repo/files?Revision=&Recursive=true`: an envelope `Code`, `Success`, `Message`,
  `Data` with `Files` (`Path`, `Type` blob or tree, `Size`, `Revision` = the last commit that changed the
  file, `CommittedDate` in epoch seconds) and `LatestCommitter` (`Id`, often empty, `ShortId`,
  `CommittedDate`);
- an unknown revision is a success with `Files` null;
- a listing is cut off without notice at 3,000 entries;
- `GET /api/v1/models/{id}/repo?Revision=&FilePath=config.json`: the file;
- the token is accepted as bearer and as session cookie; the default branch is `master`; no ETag is promised.
`GET /api/v1/models/{id}/revisions` is not asked: the listing tells a missing revision and the newest commit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flagrelease_assets.hubs.base import ModelFile, ModelReference, ModelVersionFacts
from flagrelease_assets.hubs.client import HubClient
from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.problem import LookupProblem, in_one_line

NAME = "ModelScope"
DEFAULT_REVISION = "master"
LISTING_LIMIT = 3000
"""Entries at which the hub cuts a listing off (REPO_FILES_TRUNCATION_LIMIT of modelscope_hub 0.4)."""

_EpochSeconds = Annotated[int, Field(ge=0, lt=2**33)]
_Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{7,64})?$")]
"""A commit id, whole or abbreviated; empty where the hub does not tell it."""


class _Document(BaseModel):
    model_config = ConfigDict(strict=True)


class _Entry(_Document):
    path: str = Field(alias="Path", min_length=1)
    type: str = Field(alias="Type", default="blob")
    size: int = Field(alias="Size", default=0, ge=0)
    commit: _Commit | None = Field(alias="Revision", default=None)
    committed: _EpochSeconds | None = Field(alias="CommittedDate", default=None)


class _Committer(_Document):
    id: _Commit | None = Field(alias="Id", default=None)
    short_id: _Commit | None = Field(alias="ShortId", default=None)
    committed: _EpochSeconds | None = Field(alias="CommittedDate", default=None)


class _Listing(_Document):
    files: list[_Entry] | None = Field(alias="Files")
    latest: _Committer | None = Field(alias="LatestCommitter", default=None)


class _Envelope(_Document):
    code: int = Field(alias="Code", default=200)
    success: bool = Field(alias="Success", default=True)
    message: str | None = Field(alias="Message", default=None)


class _ListingEnvelope(_Envelope):
    data: _Listing = Field(alias="Data")


def headers_for(token: SecretStr | None) -> dict[str, str]:
    """Return the headers that authenticate at this hub."""
    if token is None:
        return {}
    value = token.get_secret_value()
    return {"Authorization": f"Bearer {value}", "Cookie": f"m_session_id={value}"}


class ModelScopeHub:
    """Look-ups on one ModelScope endpoint."""

    def __init__(self, client: HubClient) -> None:
        self._client = client

    async def look_up(
        self, reference: ModelReference, previous: ModelVersionFacts | None
    ) -> ModelVersionFacts:
        """Tell the version offered now, in one request if nothing changed. Raises `LookupProblem`."""
        revision = reference.revision or DEFAULT_REVISION
        answer = await self._client.get(
            f"/api/v1/models/{reference.id}/repo/files",
            params={"Revision": revision, "Recursive": "true"},
            etag=previous.etag if previous else None,
        )
        if answer.status == 304 and previous and previous.etag:
            return previous
        listing = _read_listing(self._client.document_of(answer, reference.id))
        if listing.files is None:
            raise LookupProblem(f"{NAME}: {reference.id} has no revision {revision}; correct `revision`")
        if len(listing.files) >= LISTING_LIMIT:
            raise LookupProblem(
                f"{NAME} lists no more than {LISTING_LIMIT} files; {reference.id} has as many or more"
            )
        blobs = [entry for entry in listing.files if entry.type != "tree"]
        commit = _head_commit(listing.latest, blobs)
        unchanged = previous if previous and previous.revision == commit else None
        return ModelVersionFacts.of(
            reference,
            revision=commit,
            last_modified=_last_modified(listing.latest, blobs),
            files=(ModelFile(name=entry.path, bytes=entry.size) for entry in blobs),
            config=unchanged.config if unchanged else await self._config(reference, revision, blobs),
            etag=answer.etag,
        )

    async def _config(
        self, reference: ModelReference, revision: str, blobs: list[_Entry]
    ) -> ConfigFacts | None:
        entry = next((blob for blob in blobs if blob.path == "config.json"), None)
        if entry is None:
            return None
        answer = await self._client.get(
            f"/api/v1/models/{reference.id}/repo",
            params={"Revision": entry.commit or revision, "FilePath": "config.json"},
        )
        return ConfigFacts.from_json(self._client.document_of(answer, reference.id))


def _read_listing(document: bytes) -> _Listing:
    try:
        envelope = _Envelope.model_validate_json(document)
        if not envelope.success or envelope.code != 200:
            message = " ".join((envelope.message or "no message").split())[:200]
            raise LookupProblem(f"{NAME} refused with code {envelope.code}: {message}")
        return _ListingEnvelope.model_validate_json(document).data
    except ValidationError as error:
        raise LookupProblem(f"{NAME} gave an unexpected document: {in_one_line(error)}") from error


def _head_commit(latest: _Committer | None, blobs: list[_Entry]) -> str:
    """Name the newest commit: its id where told, else the file's commit that the short id abbreviates."""
    commits = {blob.commit for blob in blobs if blob.commit}
    if latest and latest.id:
        return latest.id
    if latest and latest.short_id:
        return next((commit for commit in commits if commit.startswith(latest.short_id)), latest.short_id)
    dated = [(blob.committed or 0, blob.commit) for blob in blobs if blob.commit]
    if not dated:
        raise LookupProblem(f"{NAME} names no commit for its files")
    return max(dated)[1]


def _last_modified(latest: _Committer | None, blobs: list[_Entry]) -> datetime | None:
    moments = [latest.committed] if latest and latest.committed else [blob.committed for blob in blobs]
    newest = max((moment for moment in moments if moment), default=None)
    return datetime.fromtimestamp(newest, UTC) if newest else None
