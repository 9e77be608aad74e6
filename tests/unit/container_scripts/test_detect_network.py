"""Reachability is asked of small pages, and a mirror is used only if it answers itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from container_scripts.detect_network import Reach, package_sources, probe, probe_github, probe_pypi
from container_scripts.pip_settings import PipSettings, parse_pip_configuration

DEAD = "http://127.0.0.1:9/simple"


class Index(BaseHTTPRequestHandler):
    """An index that refuses HEAD on one page and everything on another."""

    def do_HEAD(self) -> None:
        self._answer({"/simple/pip/": 200, "/nohead/pip/": 405}.get(self.path, 503))

    def do_GET(self) -> None:
        self._answer(200 if self.path in ("/simple/pip/", "/nohead/pip/") else 503)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    index = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=index.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{index.server_port}"
    index.shutdown()
    thread.join()
    index.server_close()


def settings(index: str | None, find_links: tuple[str, ...] = ()) -> PipSettings:
    return PipSettings("24.0", index, index is not None, (), find_links, None, False)


def test_an_error_status_is_not_reachable(server: str) -> None:
    assert probe(f"{server}/simple/pip/", 5).reachable
    failed = probe(f"{server}/blocked/pip/", 5)
    assert not failed.reachable
    assert "503" in (failed.reason or "")


def test_an_address_that_drips_bytes_does_not_hold_up_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connected, _ = listener.accept()
            with connected, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + 200 * b"x":
                    connected.sendall(bytes([byte]))
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        found = probe(f"http://127.0.0.1:{listener.getsockname()[1]}/", 0.25)
    assert found == Reach(False, None, "no answer within 0.5 s")


def test_a_server_without_head_is_asked_with_get(server: str) -> None:
    assert probe(f"{server}/nohead/pip/", 5).reachable


def test_the_configured_index_wins_over_the_mirror_when_it_answers(server: str) -> None:
    found = probe_pypi(settings(f"{server}/simple"), DEAD, "pip", 5)
    assert (found["usable"], found["use_mirror"], found["source"]) == (True, False, "pip configuration")


def test_a_mirror_that_answers_replaces_a_dead_index(server: str) -> None:
    found = probe_pypi(settings(DEAD), f"{server}/simple", "pip", 5)
    assert (found["usable"], found["use_mirror"]) == (True, True)
    assert found["index_flag"] == f"-i {server}/simple"


def test_a_dead_mirror_is_never_chosen() -> None:
    found = probe_pypi(settings(DEAD), DEAD, "pip", 5)
    assert (found["usable"], found["use_mirror"]) == (False, False)
    assert "mirror failed" in found["reason"]


def test_a_folder_of_wheels_is_a_source_without_any_network(tmp_path: Path) -> None:
    assert probe_pypi(settings(None, (str(tmp_path),)), None, "pip", 5)["usable"] is True


def test_only_a_small_page_of_the_index_is_asked() -> None:
    assert package_sources(settings("https://index.invalid/simple/"), "pip") == [
        "https://index.invalid/simple/pip/"
    ]


def test_the_environment_wins_over_the_files_of_pip() -> None:
    text = "global.index-url='https://file.invalid'\n:env:.index-url='https://env.invalid'\nbroken line"
    assert parse_pip_configuration(text) == {"index-url": "https://env.invalid"}


def test_a_mirror_is_named_without_its_credentials(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("container_scripts.detect_network.GITHUB", DEAD)
    mirror, named = (server.replace("://", f"://{user}@") for user in ("user:secret", "<redacted>"))
    github = probe_github(f"{mirror}/simple/pip/", 5)
    pypi = probe_pypi(settings(DEAD), f"{mirror}/simple", "pip", 5)
    assert (github["use_mirror"], github["prefix"]) == (True, f"{named}/simple/pip")
    assert (pypi["use_mirror"], pypi["index_flag"]) == (True, f"-i {named}/simple")
