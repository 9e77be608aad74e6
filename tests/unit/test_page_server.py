"""The page server: what may be read is, nothing else is, and only this machine is answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flagrelease_assets.page_server import MARK, PageServerError, address_of, answers, read_served
from flagrelease_assets.results.store import ResultStore


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    made = ResultStore(str(tmp_path / "results"))
    made.put_text("board/index.html", "<h1>board</h1>")
    made.put_text("logs/cpu/m/run/step/job.log", "<script>no</script>")
    made.put_text("release_report/cpu/m/run.json", "{}")
    made.put_text("fingerprints/x.json", "{}")
    (tmp_path / "secret.json").write_text("secret")
    return made


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("board/index.html", "text/html"),
        ("logs/cpu/m/run/step/job.log", "text/plain"),
        ("release_report/cpu/m/run.json", "application/json"),
    ],
)
def test_pages_logs_and_results_are_served_as_what_they_are(store: ResultStore, path: str, kind: str) -> None:
    found = read_served(store, path)
    assert found is not None and found[1].startswith(kind)


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "../secret.json", "board/../../secret.json", "board/%2e%2e/secret.json", "/etc/passwd",
        "fingerprints/x.json", "board", "board/absent.html", "board/index.html/x.html", "logs/.hidden.log",
        "board\\..\\secret.json", "board/\0.html", "board/index.py",
    ],
)  # fmt: skip
def test_nothing_else_is_served(store: ResultStore, path: str) -> None:
    assert read_served(store, path) is None


def test_a_link_out_of_the_results_is_not_followed(store: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "results" / "board" / "link.json").symlink_to(tmp_path / "secret.json")
    (tmp_path / "results" / "logs" / "out").symlink_to(tmp_path)
    assert read_served(store, "board/link.json") is None
    assert read_served(store, "logs/out/secret.json") is None


def test_results_on_another_file_system_are_served_too() -> None:
    store = ResultStore(f"memory://pages-{uuid.uuid4().hex}")
    store.put_text("board/index.html", "x")
    assert read_served(store, "board/index.html") is not None


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:1", "http://example.org:80", "https://127.0.0.1:1", "http://127.0.0.1"]
)
def test_only_loopback_is_listened_on(url: str) -> None:
    with pytest.raises(PageServerError, match="pages_url"):
        address_of(url)


@pytest.fixture
def served(store: ResultStore, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "flagrelease.yaml").write_text("results: results\nworkers: {cpu: {kind: local}}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flagrelease_assets.cli", "pages", "--port", str(port)]
    project = str(Path(__file__).parents[2])
    child = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": project})
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while time.monotonic() < end and not answers(url):
        time.sleep(0.1)
    yield url
    child.terminate()
    child.wait(30)


def test_the_command_serves_the_board_first_and_says_what_it_is(served: str) -> None:
    with httpx.Client(trust_env=False, base_url=served, follow_redirects=True) as client:
        front = client.get("/")
        assert (front.status_code, front.text) == (200, "<h1>board</h1>")
        assert front.headers[MARK] == "1"
        assert front.headers["x-content-type-options"] == "nosniff"
        log = client.get("/logs/cpu/m/run/step/job.log")
        assert log.headers["content-type"].startswith("text/plain")
        assert client.get("/fingerprints/x.json").status_code == 404
        assert client.post("/board/index.html").status_code == 405
        assert client.get("/board/%2e%2e/%2e%2e/secret.json").status_code == 404
