from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_scripts import processes
from container_scripts.prompts import Prompt
from container_scripts.vllm_server import ServerFailure, ServerSettings, VllmServer, exit_document
from tests.doubles.vllm_on_path import Start, servers


@pytest.fixture
def start_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with servers(tmp_path, monkeypatch) as start:
        yield start


def test_a_ready_server_has_its_name_its_context_and_an_engine_below_it(start_server: Start) -> None:
    server = start_server("healthy")
    ready = server.wait_until_healthy(20)
    assert ready == {"health_status": 200, "models": ["served"], "max_model_len": 2048}
    assert len(server.members()) == 2
    assert server.startup_s is not None and server.startup_s > 0


def test_an_engine_whose_server_was_killed_is_still_found_and_ended(start_server: Start) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    assert server.pid is not None
    api_server = processes.read_process(server.pid)
    assert api_server is not None
    engine = next(member for member in server.members() if member.id != api_server.id)
    processes.send_signal(api_server.id, signal.SIGKILL)
    while server.exit_code() is None:
        time.sleep(0.01)
    with pytest.raises(ServerFailure, match="signal 9"):
        server.ensure_alive("completion")
    stop = server.stop(5)
    assert (stop["orphans"], stop["port_closed"]) == ([], True)
    assert not processes.is_alive(engine.id)


def test_a_foreign_process_that_got_the_pid_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    foreign = subprocess.Popen(["sleep", "600"], start_new_session=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    dead.pid = foreign.pid
    server = VllmServer(ServerSettings("m", "n", 0, str(tmp_path / "log")))
    server._process = dead
    try:
        assert server.members() == []
        assert server.stop(5)["signal_used"] is None
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_stopping_twice_or_before_the_start_does_no_harm(start_server: Start, tmp_path: Path) -> None:
    server = start_server("healthy")
    server.stop(5)
    assert server.stop(5)["signal_used"] is None
    assert VllmServer(ServerSettings("m", "n", 0, str(tmp_path / "x"))).stop()["orphans"] == []


def test_a_stop_before_readiness_ends_the_whole_tree(start_server: Start) -> None:
    server = start_server("never_ready")
    with pytest.raises(ServerFailure, match="not healthy within 1 s"):
        server.wait_until_healthy(1)
    members = server.members()
    assert server.stop(5)["orphans"] == []
    assert not any(processes.is_alive(member.id) for member in members)


@pytest.mark.parametrize(
    ("code", "document"),
    [(None, (None, None)), (0, (0, None)), (3, (3, None)), (-9, (None, 9))],
)
def test_a_death_by_signal_is_told_from_an_exit(
    code: int | None, document: tuple[int | None, int | None]
) -> None:
    assert exit_document(code) == {"code": document[0], "signal": document[1]}


def test_paths_and_arguments_with_blanks_and_quotes_stay_single_arguments() -> None:
    settings = ServerSettings("/data/my models/x'; y", "n", 0, "log", ["--hf-overrides", '{"a": "b c"}'])
    command = settings.command(8000)
    assert "/data/my models/x'; y" in command
    assert command[-1] == '{"a": "b c"}'


def test_a_request_to_a_port_without_server_is_a_record_not_an_exception(start_server: Start) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    server.stop(5)
    record = server.client.answer("served", Prompt("p", "chat", "Hi"), 4, 0, 5)
    assert record["http_status"] is None
    assert "Connection refused" in record["error"]
