"""Look-up of many models at once, over all sources.

Belongs here: concurrency, the common deadline, and the promise that one model or hub never costs another.
Does not belong here: what a hub or folder says about one model; what follows from a new version.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import httpx
from pydantic import SecretStr

from flagrelease_assets.hubs import huggingface, modelscope
from flagrelease_assets.hubs.base import (
    Deferred,
    ModelReference,
    ModelSource,
    ModelVersionFacts,
    VersionSource,
)
from flagrelease_assets.hubs.client import HubClient
from flagrelease_assets.hubs.folder import FolderSource
from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.hubs.settings import ClientSettings, HubAddress

_log = logging.getLogger(__name__)

LookupResult = ModelVersionFacts | Deferred


async def look_up_all(
    references: Sequence[ModelReference],
    *,
    client_settings: ClientSettings,
    deadline_s: float,
    concurrency: int = 20,
    previous: Mapping[str, ModelVersionFacts] | None = None,
) -> list[LookupResult]:
    """Tell the version of every model that can be told within `deadline_s` seconds.

    `concurrency` bounds the look-ups under way per source: a hub that hangs holds up its own models only.
    `previous` maps model ids to what the last look-up found; it saves requests and changes no result.
    Returns one result per reference, in their order; whatever goes wrong with one is its `Deferred`.
    """
    deadline = time.monotonic() + deadline_s
    known = previous or {}
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(client_settings.request_timeout_s, connect=client_settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=2 * concurrency),
        headers={"Accept": "application/json", "User-Agent": "flagrelease"},
    ) as http:
        opened = _open_sources(http, client_settings, deadline)
        slots = {source: asyncio.Semaphore(concurrency) for source in opened}

        async def look_up(reference: ModelReference) -> LookupResult:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())), slots[reference.source]:
                    return await _look_up_one(opened[reference.source], reference, known.get(reference.id))
            except TimeoutError:
                return _deferred(
                    reference, LookupProblem(f"not answered within the deadline of {deadline_s:g} s")
                )

        return list(await asyncio.gather(*map(look_up, references)))


def look_up_all_now(
    references: Sequence[ModelReference],
    *,
    client_settings: ClientSettings,
    deadline_s: float,
    concurrency: int = 20,
    previous: Mapping[str, ModelVersionFacts] | None = None,
) -> list[LookupResult]:
    """Do `look_up_all` from code that runs outside any event loop."""
    return asyncio.run(
        look_up_all(
            references,
            client_settings=client_settings,
            deadline_s=deadline_s,
            concurrency=concurrency,
            previous=previous,
        )
    )


async def _look_up_one(
    source: VersionSource | LookupProblem, reference: ModelReference, previous: ModelVersionFacts | None
) -> LookupResult:
    if isinstance(source, LookupProblem):
        return _deferred(reference, source)
    if previous is not None and previous.source is not reference.source:
        previous = None
    try:
        return await source.look_up(reference, previous)
    except LookupProblem as problem:
        return _deferred(reference, problem)
    except Exception as error:
        _log.exception("look-up of %s on %s failed unexpectedly", reference.id, reference.source)
        return _deferred(reference, LookupProblem(f"the look-up failed: {type(error).__name__}: {error}"))


def _open_sources(
    http: httpx.AsyncClient, settings: ClientSettings, deadline: float
) -> dict[ModelSource, VersionSource | LookupProblem]:
    """Prepare each source; one that cannot be used is its problem, met by its own models only."""

    def hub(
        name: str,
        address: HubAddress,
        headers_for: Callable[[SecretStr | None], dict[str, str]],
        kind: Callable[[HubClient], VersionSource],
    ) -> VersionSource | LookupProblem:
        try:
            headers = headers_for(address.token())
        except LookupProblem as problem:
            return problem
        return kind(HubClient(http, name, address, settings, deadline, headers))

    return {
        ModelSource.HUGGINGFACE: hub(
            huggingface.NAME, settings.huggingface, huggingface.headers_for, huggingface.HuggingFaceHub
        ),
        ModelSource.MODELSCOPE: hub(
            modelscope.NAME, settings.modelscope, modelscope.headers_for, modelscope.ModelScopeHub
        ),
        ModelSource.FOLDER: FolderSource(deadline=deadline, max_config_bytes=settings.max_body_bytes),
    }


def _deferred(reference: ModelReference, problem: LookupProblem) -> Deferred:
    return Deferred(
        id=reference.id,
        source=reference.source,
        reason=problem.reason,
        retry_after_s=problem.retry_after_s,
    )
