"""Exchanges with one hub over HTTP: bounded, patient, and never surprised by an answer.

Belongs here: time limits, retries, waits a hub asks for, redirects, body sizes, conditional requests.
Does not belong here: the paths of a hub and the meaning of its documents.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.hubs.settings import ClientSettings, HubAddress

_log = logging.getLogger(__name__)

_RATE_LIMIT_RESET = re.compile(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")
"""The wait in a `RateLimit: "api";r=0;t=55` header, in seconds (IETF draft that Hugging Face follows)."""

_DOWN_AFTER = 3
"""Requests in a row that failed on every attempt before a hub counts as down."""


@dataclass(frozen=True)
class Answer:
    """A final answer: `status` after redirects, body (empty for 304), headers."""

    status: int
    body: bytes
    headers: httpx.Headers

    @property
    def etag(self) -> str | None:
        """The validator for the next conditional request, None where the hub offers none."""
        value: str | None = self.headers.get("etag")
        return value

    @property
    def is_html(self) -> bool:
        """Whether this is a web page, such as the login page of a proxy, and no answer of an API."""
        kind: str = self.headers.get("content-type", "")
        return "html" in kind.lower() or self.body.lstrip()[:14].lower().startswith(
            (b"<!doctype html", b"<html")
        )


class _TryAgainError(Exception):
    """An exchange that failed in a way that may pass; `wait_s` is the wait the hub asked for, if any."""

    def __init__(self, reason: str, *, wait_s: float | None = None, hub_is_failing: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.hub_is_failing = hub_is_failing


@dataclass
class HubClient:
    """GET requests to one hub, with what its earlier answers said about all of them.

    `deadline` is a `time.monotonic()` value; `headers` go to this hub's origin only. After a 429 every
    request waits as the hub asked; after several in a row failed on every attempt the rest fail at once.
    """

    http: httpx.AsyncClient
    name: str
    address: HubAddress
    settings: ClientSettings
    deadline: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    _resume_at: float = field(default=0.0, init=False)
    _failures_in_a_row: int = field(default=0, init=False)

    async def get(
        self, path: str, *, params: Mapping[str, str] | None = None, etag: str | None = None
    ) -> Answer:
        """Fetch `path` below the endpoint; with `etag`, a status of 304 says that nothing changed.

        Returns any status below 500 but 429. Raises `LookupProblem` where no usable answer came in time.
        """
        url = httpx.URL(str(self.address.endpoint).rstrip("/") + path, params=params)
        headers = {**self.headers, **({"If-None-Match": etag} if etag else {})}
        for attempt in range(self.settings.max_attempts):
            if self._failures_in_a_row >= _DOWN_AFTER:
                raise LookupProblem(f"{self.name} is down: its last requests failed on every attempt")
            await self._wait_for_permission()
            try:
                answer = await self._exchange(url, headers)
            except _TryAgainError as error:
                problem = error
                if error.wait_s is not None:
                    self._resume_at = max(self._resume_at, time.monotonic() + error.wait_s)
            else:
                self._failures_in_a_row = 0
                return answer
            if attempt + 1 < self.settings.max_attempts:
                await self._back_off(problem, attempt)
        if problem.hub_is_failing:
            self._failures_in_a_row += 1
        raise LookupProblem(
            f"{problem.reason}; gave up after {self.settings.max_attempts} attempts", problem.wait_s
        )

    def document_of(self, answer: Answer, model_id: str) -> bytes:
        """Return the body of a success. Raises `LookupProblem` for every other status, and for a web page."""
        said = f"{self.name} answered {answer.status}"
        if answer.status in (401, 403):
            raise LookupProblem(
                f"{said}: {model_id} is private, or was deleted; check the id, or {self.advice}"
            )
        if answer.status in (404, 410):
            raise LookupProblem(
                f"{said}: {model_id} does not exist, was deleted, or is private; check the id"
            )
        if answer.status != 200:
            raise LookupProblem(f"{said} for {model_id}, which is no answer to this request")
        if answer.is_html:
            raise LookupProblem(f"{self.name} answered with a web page; check the endpoint and any proxy")
        return answer.body

    @property
    def advice(self) -> str:
        """What to do where the hub asks for a token."""
        variable = self.address.token_variable
        return f"set {variable} to a token that may read it" if variable else "configure a token for the hub"

    async def _back_off(self, problem: _TryAgainError, attempt: int) -> None:
        longest_s = min(self.settings.backoff_s * 2**attempt, self.settings.backoff_max_s)
        wait_s = random.uniform(0.5, 1.0) * longest_s
        if problem.wait_s is None and time.monotonic() + wait_s >= self.deadline:
            raise LookupProblem(f"{problem.reason}; no time is left for another attempt")
        _log.info("%s; trying again in %.1f s", problem.reason, wait_s + (problem.wait_s or 0))
        await self._wait_for_permission()
        await asyncio.sleep(wait_s)

    async def _wait_for_permission(self) -> None:
        """Wait until the moment the hub named, if any. Raises `LookupProblem` if the deadline comes first."""
        wait_s = self._resume_at - time.monotonic()
        if wait_s <= 0:
            return
        if self._resume_at >= self.deadline:
            raise LookupProblem(
                f"{self.name} answered 429 or 5xx and asks for a wait of {wait_s:.0f} s, past the deadline",
                retry_after_s=round(wait_s, 1),
            )
        await asyncio.sleep(wait_s)

    async def _exchange(self, url: httpx.URL, headers: Mapping[str, str]) -> Answer:
        limit_s = self.settings.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._follow(url, headers)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _TryAgainError(f"{self.name} did not answer within {limit_s:g} s") from error
        except httpx.InvalidURL as error:
            raise LookupProblem(f"{self.name} redirects to an address that is none") from error
        except httpx.RequestError as error:
            detail = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise _TryAgainError(f"{self.name} cannot be reached ({detail})") from error
        if answer.status == 429:
            wait_s = _requested_wait_s(answer.headers)
            raise _TryAgainError(
                f"{self.name} answered 429 (too many requests)", wait_s=wait_s, hub_is_failing=False
            )
        if answer.status >= 500:
            raise _TryAgainError(
                f"{self.name} answered {answer.status}", wait_s=_requested_wait_s(answer.headers)
            )
        return answer

    async def _follow(self, url: httpx.URL, headers: Mapping[str, str]) -> Answer:
        for _ in range(self.settings.max_redirects + 1):
            async with self.http.stream("GET", url, headers=headers) as response:
                if not response.has_redirect_location:
                    body = b"" if response.status_code == 304 else await self._read(response)
                    return Answer(response.status_code, body, response.headers)
                target = url.join(response.headers["location"])
            if _origin(target) != _origin(url):
                raise LookupProblem(f"{self.name} redirects to another host ({target.host}); not followed")
            url = target
        raise LookupProblem(f"{self.name} redirects more than {self.settings.max_redirects} times")

    async def _read(self, response: httpx.Response) -> bytes:
        limit = self.settings.max_body_bytes
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                raise LookupProblem(f"{self.name} answered with more than {limit / 1e6:g} MB")
        return bytes(body)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _requested_wait_s(headers: httpx.Headers) -> float | None:
    """Read how long `Retry-After` (a number or a date) or `RateLimit` asks to wait; None if neither does."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    if value:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    match = _RATE_LIMIT_RESET.search(headers.get("ratelimit", ""))
    return float(match.group(1)) if match else None
