"""`flagrelease ui` for real: Dagster's UI, its daemon and the page server start together and end together."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.integration.services import PROJECT

DEADLINE_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code < 400
    except httpx.HTTPError:
        return False


def test_a_ui_that_a_shell_started_in_the_background_ends_with_all_its_parts(tmp_path: Path) -> None:
    # A background job of a non-interactive shell ignores SIGINT, and Dagster takes SIGTERM for the same.
    (tmp_path / "flagrelease.yaml").write_text("results: results\n", encoding="utf-8")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    ui, pages = free_port(), free_port()
    log = tmp_path / "ui.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "flagrelease_assets.cli",
             "ui", "--port", str(ui), "--pages-port", str(pages)],
            cwd=tmp_path,
            env={**os.environ, "DAGSTER_HOME": str(tmp_path / "home")},
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        end = time.monotonic() + DEADLINE_S
        while not (answers(ui) and answers(pages)):
            assert started.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
        assert not answers(ui)
        assert not answers(pages)
    finally:
        if started.poll() is None:
            started.kill()
