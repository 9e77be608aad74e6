"""Versions of models on Hugging Face Hub, or on a mirror that speaks its API.

Belongs here: the paths, documents and error codes of that hub.
Does not belong here: how a request is made, retried or bounded.

Relied upon (public API as used by the huggingface_hub client, version 1.x):
- `GET /api/models/{id}?blobs=true` and `GET /api/models/{id}/revision/{revision}?blobs=true`: `id`, `sha`,
  `lastModified`, `siblings` with `rfilename` and `size`, `safetensors.total`, an `ETag`;
- `GET /{id}/resolve/{sha}/config.json`: the file, maybe behind a redirect on the same host;
- a renamed model redirects, and its document carries the new `id`;
- refusals carry `X-Error-Code` (RepoNotFound, GatedRepo, RevisionNotFound); without a valid token a missing
  model and a private one both give 401.
"""

from __future__ import annotations

from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flagrelease_assets.hubs.base import ModelFile, ModelId, ModelReference, ModelVersionFacts
from flagrelease_assets.hubs.client import Answer, HubClient
from flagrelease_assets.hubs.config_facts import ConfigFacts, count_or_none
from flagrelease_assets.hubs.problem import LookupProblem, in_one_line

NAME = "Hugging Face Hub"


class _Document(BaseModel):
    model_config = ConfigDict(strict=True)


class _Sibling(_Document):
    rfilename: str = Field(min_length=1)
    size: int = Field(ge=0)


class _ModelInfo(_Document):
    id: ModelId
    sha: str = Field(pattern=r"^[0-9a-f]{7,64}$")
    last_modified: AwareDatetime | None = Field(default=None, alias="lastModified")
    siblings: list[_Sibling]
    safetensors: object = None

    @property
    def parameters(self) -> int | None:
        return count_or_none(self.safetensors.get("total")) if isinstance(self.safetensors, dict) else None


def headers_for(token: SecretStr | None) -> dict[str, str]:
    """Return the headers that authenticate at this hub."""
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}


class HuggingFaceHub:
    """Look-ups on one Hugging Face endpoint."""

    def __init__(self, client: HubClient) -> None:
        self._client = client

    async def look_up(
        self, reference: ModelReference, previous: ModelVersionFacts | None
    ) -> ModelVersionFacts:
        """Tell the version offered now, in one request if nothing changed. Raises `LookupProblem`."""
        path = f"/api/models/{reference.id}"
        if reference.revision is not None:
            path += f"/revision/{quote(reference.revision, safe='')}"
        etag = previous.etag if previous else None
        answer = await self._client.get(path, params={"blobs": "true"}, etag=etag)
        if answer.status == 304 and previous and previous.etag:
            return previous
        info = _read_info(self._document(answer, reference))
        unchanged = previous if previous and previous.revision == info.sha else None
        return ModelVersionFacts.of(
            reference,
            revision=info.sha,
            last_modified=info.last_modified,
            files=(ModelFile(name=sibling.rfilename, bytes=sibling.size) for sibling in info.siblings),
            config=unchanged.config if unchanged else await self._config(reference, info),
            etag=answer.etag,
            renamed_to=info.id if info.id != reference.id else None,
        )

    async def _config(self, reference: ModelReference, info: _ModelInfo) -> ConfigFacts | None:
        if all(sibling.rfilename != "config.json" for sibling in info.siblings):
            return None
        answer = await self._client.get(f"/{info.id}/resolve/{info.sha}/config.json")
        return ConfigFacts.from_json(self._document(answer, reference), info.parameters)

    def _document(self, answer: Answer, reference: ModelReference) -> bytes:
        code = answer.headers.get("x-error-code")
        if code == "GatedRepo":
            raise LookupProblem(
                f"access to {reference.id} is gated; accept its terms on the hub and {self._client.advice}"
            )
        if code == "RevisionNotFound":
            raise LookupProblem(f"{reference.id} has no revision {reference.revision}; correct `revision`")
        return self._client.document_of(answer, reference.id)


def _read_info(document: bytes) -> _ModelInfo:
    try:
        return _ModelInfo.model_validate_json(document)
    except ValidationError as error:
        raise LookupProblem(f"{NAME} gave an unexpected document: {in_one_line(error)}") from error
