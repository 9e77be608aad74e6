"""Listing a hub's models by organisation or words, newest first.

Belongs here: the list request and its paging. Does not belong here: the version of one model, allow-lists.

Relied upon (public API as used by the huggingface_hub client, version 1.x): `GET /api/models` with `author`,
`search`, `sort=lastModified`, `direction=-1`, `limit`; an array of objects with `id`; the next page is in the
`Link` header with rel="next".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from flagrelease_assets.hubs import huggingface
from flagrelease_assets.hubs.client import HubClient
from flagrelease_assets.hubs.problem import LookupProblem, in_one_line
from flagrelease_assets.hubs.settings import ClientSettings

MAX_PAGES = 20


class _Listed(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str


_PAGE = TypeAdapter(list[_Listed])


def list_models_now(
    *,
    organisation: str | None,
    search: str | None,
    limit: int,
    client_settings: ClientSettings,
    deadline_s: float,
) -> list[str]:
    """Return the ids of the newest models of the hub, at most ``limit``; raises LookupProblem.

    Args:
        organisation: only its models.
        search: only models whose id has these words.
        limit: models to return at most.
        client_settings: how the hub is reached.
        deadline_s: seconds for the whole listing.
    """
    return asyncio.run(_list(organisation, search, limit, client_settings, deadline_s))


async def _list(
    organisation: str | None, search: str | None, limit: int, settings: ClientSettings, deadline_s: float
) -> list[str]:
    address = settings.huggingface
    params = {"sort": "lastModified", "direction": "-1", "limit": str(limit)}
    params |= {"author": organisation} if organisation else {}
    params |= {"search": search} if search else {}
    found: list[str] = []
    timeout = httpx.Timeout(settings.request_timeout_s, connect=settings.connect_timeout_s)
    async with httpx.AsyncClient(timeout=timeout, headers={"User-Agent": "flagrelease"}) as http:
        headers = huggingface.headers_for(address.token())
        deadline = time.monotonic() + deadline_s
        client = HubClient(http, huggingface.NAME, address, settings, deadline, headers)
        for _ in range(MAX_PAGES):
            answer = await client.get("/api/models", params=params)
            found += _ids(client.document_of(answer, "the list of models"))
            following = next(_next_page(answer.headers), None)
            if len(found) >= limit or following is None:
                break
            params = dict(following.params)
    return list(dict.fromkeys(found))[:limit]


def _ids(document: bytes) -> list[str]:
    try:
        return [listed.id for listed in _PAGE.validate_json(document)]
    except ValidationError as error:
        said = f"{huggingface.NAME} gave an unexpected list of models: {in_one_line(error)}"
        raise LookupProblem(said) from error


def _next_page(headers: httpx.Headers) -> Iterator[httpx.URL]:
    for link in headers.get("link", "").split(","):
        address, _, relation = link.partition(";")
        if 'rel="next"' in relation:
            with suppress(httpx.InvalidURL):  # a link that is none ends the listing
                yield httpx.URL(address.strip().strip("<>"))
