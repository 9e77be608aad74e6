"""The pages of the results over HTTP, for whoever follows a link in the UI: this machine only, read-only.

Belongs here: which files below the results are served, and how safely.
Does not belong here: making pages (`reporting`), the Dagster UI.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import PurePosixPath
from socket import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flagrelease_assets.contracts import STEP_DOCUMENTS
from flagrelease_assets.results.store import ResultStore

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_SERVED_BYTES = 300_000_000
PROBE_TIMEOUT_S = 2.0
MARK = "flagrelease-pages"
"""Header by which our own server is known from any other on the port."""

_FOLDERS = frozenset({"board", "reports", "logs", *STEP_DOCUMENTS})
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    MARK: "1",
}


class PageServerError(Exception):
    """The pages cannot be served here; the message says what to set."""


def build_app(store: ResultStore) -> Starlette:
    """Return the application that serves the pages of a result store."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.routing import Route

    def front(_request: Request) -> Response:
        return RedirectResponse("/board/index.html", headers=_HEADERS)

    def file(request: Request) -> Response:
        found = read_served(store, request.path_params["path"])
        if found is None:
            return PlainTextResponse("there is no such page\n", 404, headers=_HEADERS)
        content, kind = found
        return PlainTextResponse(content, headers=_HEADERS, media_type=kind)

    return Starlette(routes=[Route("/", front), Route("/{path:path}", file)])


def read_served(store: ResultStore, path: str) -> tuple[bytes, str] | None:
    """Return the content and type of a served file, or None for whatever is not one.

    Served are ordinary files of known types in the folders of results, never through a link out of them.
    """
    parts = PurePosixPath(path).parts
    kind = _KINDS.get(PurePosixPath(path).suffix)
    if not parts or parts[0] not in _FOLDERS or kind is None:
        return None
    if any(part in ("..", ".") or part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    try:
        target = store.root.joinpath(*parts)
        if target.protocol in ("", "file") and not target.resolve().is_relative_to(store.root.resolve()):
            return None
        if not target.is_file() or target.stat().st_size > MAX_SERVED_BYTES:
            return None
        return target.read_bytes(), kind
    except (OSError, ValueError):
        return None


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a loopback URL; raises PageServerError for any other."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
        raise PageServerError(
            f"pages_url {url!r} is not served here: give http://127.0.0.1:PORT, or serve the results there"
        )
    return ("127.0.0.1" if parts.hostname == "localhost" else parts.hostname), parts.port


def answers(url: str) -> bool:
    """Whether a page server of ours answers at a URL."""
    import httpx

    try:
        with httpx.Client(trust_env=False, timeout=PROBE_TIMEOUT_S) as client:
            return MARK in client.get(url.rstrip("/") + "/").headers
    except httpx.HTTPError:
        return False


def serve(store: ResultStore, url: str, when_ready: Callable[[], object] | None = None) -> None:
    """Serve until an interrupt; raises PageServerError if the address is not this machine's own.

    Args:
        store: where the results are.
        url: loopback URL with a port.
        when_ready: called once the server listens.
    """
    import uvicorn

    host, port = address_of(url)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if when_ready and self.started:
                threading.Thread(target=when_ready, daemon=True).start()  # it may wait for our answer

    Server(
        uvicorn.Config(build_app(store), host=host, port=port, log_level="warning", access_log=False)
    ).run()
