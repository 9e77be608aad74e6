"""A real HTTP server on loopback that answers as the public APIs of Hugging Face Hub and ModelScope do.

Belongs here: the paths, headers, documents and refusals of both hubs, and ways to make them misbehave.
Does not belong here: assertions.

Both hubs share one port, since their paths do not overlap; `HubDouble().url` is the endpoint of either.
By hand: `python tests/doubles/hub_double.py` serves one model on each hub and prints the URL.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

MODELSCOPE_LISTING_LIMIT = 3000
SMALL_CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "torch_dtype": "bfloat16",
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 40960,
}


@dataclass
class HubModel:
    """A model on one of the hubs; a changed `commit` is a new version. Files are content, or a size alone."""

    id: str
    commit: str = "a" * 40
    files: dict[str, bytes | int] = field(
        default_factory=lambda: {
            "config.json": json.dumps(SMALL_CONFIG).encode(),
            "model.safetensors": 1_200_000_000,
            "tokenizer.json": 7_000_000,
        }
    )
    last_modified: str = "2026-02-03T04:05:06.000Z"
    committed: int = 1_770_091_506
    revisions: tuple[str, ...] = ("main", "master")
    parameters: int | None = 596_049_920
    private: bool = False
    gated: bool = False

    def size_of(self, name: str) -> int:
        """Return the size in bytes that the hub reports for a file."""
        content = self.files[name]
        return content if isinstance(content, int) else len(content)

    def knows(self, revision: str | None) -> bool:
        """Say whether a branch, tag or commit exists; None is the default branch."""
        return revision in (None, self.commit, *self.revisions)


@dataclass(frozen=True)
class Reply:
    """One answer; `delay_s` passes before it, `promised_bytes` is a Content-Length the body may not keep."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    delay_s: float = 0.0
    promised_bytes: int | None = None
    hang_up: bool = False


@dataclass(frozen=True)
class Request:
    """A request as it arrived; header names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent where the client hung up, which clients with a time limit do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class HubDouble:
    """Both hubs on one loopback port, as a context manager.

    `token` is what private and gated models ask for; `latency_s` passes before every answer.
    """

    def __init__(self, *, token: str = "hub-token", latency_s: float = 0.0) -> None:
        self.token = token
        self.latency_s = latency_s
        self.modelscope_etags = False
        self.page_size = 100
        self.huggingface: dict[str, HubModel] = {}
        self.modelscope: dict[str, HubModel] = {}
        self.renamed: dict[str, str] = {}
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._under_way = 0
        self._next: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._always: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write per answer: header and body apart would wait for each other's ACK

            def do_GET(self) -> None:
                double._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent: what arrived is in `requests`."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The endpoint of both hubs."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def reply_next(self, path_part: str, *replies: Reply) -> None:
        """Answer the next requests whose path contains `path_part` with these, then as usual again."""
        self._next[path_part].extend(replies)

    def reply_always(self, path_part: str, reply: Reply) -> None:
        """Answer every request whose path contains `path_part` with this."""
        self._always[path_part] = reply

    def requests_for(self, path_part: str) -> list[Request]:
        """Return the requests so far whose path contains `path_part`."""
        return [request for request in self.requests if path_part in request.path]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        request = Request(
            path=unquote(parts.path),
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in handler.headers.items()},
        )
        with self._lock:
            self.requests.append(request)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            scripted = self._scripted(request.path)
        try:
            reply = scripted or self._answer(request)
            self._closing.wait(self.latency_s + reply.delay_s)
            _send(handler, _conditional(request, reply))
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        finally:
            with self._lock:
                self._under_way -= 1

    def _scripted(self, path: str) -> Reply | None:
        queued = next((queue for part, queue in self._next.items() if part in path and queue), None)
        if queued:
            return queued.popleft()
        return next((reply for part, reply in self._always.items() if part in path), None)

    def _answer(self, request: Request) -> Reply:
        if request.path == "/api/models":
            return self._huggingface_list(request)
        if match := re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", request.path):
            return self._huggingface_info(request, match[1], match[2])
        if match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo/files", request.path):
            return self._modelscope_listing(request, match[1])
        if match := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo", request.path):
            return self._modelscope_file(request, match[1])
        if match := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", request.path):
            return self._huggingface_file(request, match[1], match[2], match[3])
        return Reply(404, b"<!DOCTYPE html><html><body>404</body></html>", content_type="text/html")

    def _huggingface_refusal(self, request: Request, model: HubModel | None) -> Reply | None:
        authorised = request.headers.get("authorization") == f"Bearer {self.token}"
        if model is not None and (authorised or not model.private):
            return None
        if authorised:
            return _huggingface_error(404, "RepoNotFound", "Repository not found")
        return _huggingface_error(401, "RepoNotFound", "Invalid username or password.")

    def _huggingface_list(self, request: Request) -> Reply:
        """Answer a list of models, a page at a time; private ones are not in it without the token."""
        wanted, words = request.query.get("author"), request.query.get("search", "").lower()
        authorised = request.headers.get("authorization") == f"Bearer {self.token}"
        found = [
            model.id
            for model in self.huggingface.values()
            if (wanted is None or model.id.partition("/")[0] == wanted)
            and words in model.id.lower()
            and (authorised or not model.private)
        ]
        start, size = int(request.query.get("cursor", "0")), min(self.page_size, int(request.query["limit"]))
        page, rest = found[start : start + size], found[start + size :]
        query = "&".join(f"{key}={value}" for key, value in request.query.items() if key != "cursor")
        following = f'<{self.url}/api/models?{query}&cursor={start + size}>; rel="next"'
        body = json.dumps([{"id": model_id, "modelId": model_id} for model_id in page]).encode()
        return Reply(body=body, headers={"Link": following} if rest else {})

    def _huggingface_info(self, request: Request, model_id: str, revision: str | None) -> Reply:
        if model_id in self.renamed:
            suffix = f"/revision/{revision}" if revision else ""
            query = "?blobs=true" if request.query.get("blobs") == "true" else ""
            location = f"/api/models/{self.renamed[model_id]}{suffix}{query}"
            return Reply(307, headers={"Location": location}, content_type="text/plain")
        model = self.huggingface.get(model_id)
        if refusal := self._huggingface_refusal(request, model):
            return refusal
        assert model is not None
        if not model.knows(revision):
            return _huggingface_error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        with_sizes = request.query.get("blobs") == "true"
        document: dict[str, object] = {
            "id": model.id,
            "modelId": model.id,
            "sha": model.commit,
            "lastModified": model.last_modified,
            "private": model.private,
            "gated": "manual" if model.gated else False,
            "disabled": False,
            "siblings": [
                {"rfilename": name, **({"size": model.size_of(name)} if with_sizes else {})}
                for name in model.files
            ],
        }
        if model.parameters is not None:
            document["safetensors"] = {
                "parameters": {"BF16": model.parameters},
                "total": model.parameters,
            }
        body = json.dumps(document).encode()
        return Reply(body=body, headers={"ETag": f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'})

    def _huggingface_file(self, request: Request, model_id: str, revision: str, name: str) -> Reply:
        model = self.huggingface.get(model_id)
        if refusal := self._huggingface_refusal(request, model):
            return refusal
        assert model is not None
        if model.gated and request.headers.get("authorization") != f"Bearer {self.token}":
            return _huggingface_error(401, "GatedRepo", f"Access to model {model_id} is restricted.")
        content = model.files.get(name)
        if not model.knows(revision) or not isinstance(content, bytes):
            return _huggingface_error(404, "EntryNotFound", "Entry not found")
        return Reply(body=content, content_type="text/plain; charset=utf-8")

    def _modelscope_refusal(self, request: Request, model: HubModel | None) -> Reply | None:
        if model is not None and (
            not model.private or f"m_session_id={self.token}" in request.headers.get("cookie", "")
        ):
            return None
        return _modelscope_error(404, 10010205001, "The model does not exist or you have no permission")

    def _modelscope_listing(self, request: Request, model_id: str) -> Reply:
        model = self.modelscope.get(model_id)
        if refusal := self._modelscope_refusal(request, model):
            return refusal
        assert model is not None
        if not model.knows(request.query.get("Revision")):
            return _modelscope_success({"Files": None, "IsVisual": 0, "LatestCommitter": None})
        folders = sorted({name.rpartition("/")[0] for name in model.files if "/" in name})
        entries: list[dict[str, object]] = [
            {"Name": name, "Path": name, "Type": "tree", "Size": 0, "CommittedDate": model.committed}
            for name in folders
        ]
        entries += [
            {
                "Name": name.rpartition("/")[2],
                "Path": name,
                "Type": "blob",
                "Size": model.size_of(name),
                "Revision": model.commit,
                "Sha256": hashlib.sha256(repr(model.files[name]).encode()).hexdigest(),
                "CommittedDate": model.committed,
                "CommitterName": "somebody",
                "IsLFS": isinstance(model.files[name], int),
                "InCheck": False,
                "Mode": "33188",
            }
            for name in model.files
        ]
        latest = {"Id": "", "ShortId": model.commit[:8], "CommittedDate": model.committed, "Name": "somebody"}
        reply = _modelscope_success(
            {"Files": entries[:MODELSCOPE_LISTING_LIMIT], "IsVisual": 0, "LatestCommitter": latest}
        )
        if not self.modelscope_etags:
            return reply
        return Reply(body=reply.body, headers={"ETag": f'"{hashlib.sha256(reply.body).hexdigest()[:32]}"'})

    def _modelscope_file(self, request: Request, model_id: str) -> Reply:
        model = self.modelscope.get(model_id)
        if refusal := self._modelscope_refusal(request, model):
            return refusal
        assert model is not None
        content = model.files.get(request.query.get("FilePath", ""))
        if not model.knows(request.query.get("Revision")) or not isinstance(content, bytes):
            return _modelscope_error(404, 10010205002, "The file does not exist")
        return Reply(body=content, content_type="application/octet-stream")


def _huggingface_error(status: int, code: str, message: str) -> Reply:
    return Reply(
        status,
        json.dumps({"error": message}).encode(),
        headers={"X-Error-Code": code, "X-Error-Message": message},
    )


def _modelscope_error(status: int, code: int, message: str) -> Reply:
    document = {"Code": code, "Data": None, "Message": message, "RequestId": "double", "Success": False}
    return Reply(status, json.dumps(document).encode())


def _modelscope_success(data: object) -> Reply:
    document = {"Code": 200, "Data": data, "Message": "success", "RequestId": "double", "Success": True}
    return Reply(body=json.dumps(document).encode())


def _conditional(request: Request, reply: Reply) -> Reply:
    etag = reply.headers.get("ETag")
    if etag and reply.status == 200 and request.headers.get("if-none-match") == etag:
        return Reply(304, headers={"ETag": etag})
    return reply


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    if reply.hang_up:
        handler.close_connection = True
        return
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.status != 304:
        handler.send_header("Content-Type", reply.content_type)
        handler.send_header("Content-Length", str(reply.promised_bytes or len(reply.body)))
    handler.end_headers()
    if reply.status != 304:
        handler.wfile.write(reply.body)
    if reply.promised_bytes:
        handler.close_connection = True


if __name__ == "__main__":
    with HubDouble() as hubs:
        hubs.huggingface["Qwen/Qwen3-0.6B"] = HubModel("Qwen/Qwen3-0.6B")
        hubs.modelscope["Qwen/Qwen3-0.6B"] = HubModel("Qwen/Qwen3-0.6B")
        print(hubs.url, flush=True)
        while True:
            time.sleep(3600)
