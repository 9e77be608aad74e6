from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.doubles import vllm_on_path

FLAGS = ("--model", "m", "--health-timeout", "20", "--request-timeout", "20", "--stop-grace", "5")


def test_a_healthy_server_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *FLAGS)
    assert (code, document["status"], document["stage_reached"]) == (0, "PASS", "done")
    assert document["health_status"] == 200
    assert document["models"] == [document["command"][document["command"].index("--served-model-name") + 1]]
    assert {request["kind"] for request in document["requests"]} == {"completion", "chat"}
    assert all(request["token_ids"] and request["logprobs"] for request in document["requests"])
    assert document["stop"]["signal_used"] == "TERM"
    assert (document["stop"]["orphans"], document["stop"]["port_closed"]) == ([], True)
    assert document["checks"]["anchor"]["ok"] is True
    assert any("KV cache size" in line for line in document["server_config"])
    assert document["effective_config"]["kv_cache_tokens"] == 93_200
    assert document["effective_config"]["execution"] == "eager"
    assert not Path(f"/proc/{document['pid']}").exists()


@pytest.mark.parametrize(
    ("mode", "stage", "error"),
    [
        ("dies_at_start", "start", "weight_scale"),
        ("oom", "start", "out of memory"),
        ("exits_zero", "start", "ended with code 0 by itself"),
        ("wrong_model", "models", "another-model"),
        ("garbled", "chat", "degenerate"),
    ],
)
def test_each_way_to_fail_is_named_with_its_stage(tmp_path: Path, mode: str, stage: str, error: str) -> None:
    code, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *FLAGS, mode=mode)
    assert (code, document["status"], document["stage_reached"]) == (1, "FAIL", stage)
    assert error in document["error"]
    assert document["stop"]["orphans"] == []


@pytest.mark.parametrize(
    ("mode", "seen", "signature"),
    [
        ("dies_after_ready", "ended with 0", "torch.AcceleratorError: CUDA error"),
        ("empty_answers", "gave an empty first answer", "log says:"),
        ("malformed_answers", "malformed answer (HTTP 200", "log says:"),
    ],
)
def test_a_server_that_only_seemed_ready_is_false_ready_with_what_its_log_says(
    tmp_path: Path, mode: str, seen: str, signature: str
) -> None:
    code, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *FLAGS, mode=mode)
    assert (code, document["status"], document["stage_reached"]) == (1, "FAIL", "completion")
    assert document["category"] == "false_ready"
    assert document["health_status"] == 200
    assert document["error"].startswith("false_ready: ")
    assert seen in document["error"]
    assert signature in document["error"]
    assert document["stop"]["orphans"] == []


def test_a_server_that_never_listens_is_given_up_after_the_limit(tmp_path: Path) -> None:
    flags = ("--model", "m", "--health-timeout", "2", "--stop-grace", "5")
    _, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *flags, mode="never_ready")
    assert (document["stage_reached"], document["category"]) == ("health", "timeout")
    assert document["stop"]["orphans"] == []


def test_a_hung_first_request_ends_with_its_own_limit(tmp_path: Path) -> None:
    flags = ("--model", "m", "--health-timeout", "20", "--request-timeout", "1", "--stop-grace", "5")
    _, document = vllm_on_path.run(
        "test_serve_mode", tmp_path / "serve.json", *flags, mode="hangs_first_request"
    )
    assert (document["status"], document["stage_reached"]) == ("FAIL", "completion")
    assert document["category"] == "timeout"
    assert "timed out" in document["error"]
    assert document["stop"]["orphans"] == []


def test_a_tree_that_ignores_term_is_killed_whole(tmp_path: Path) -> None:
    flags = ("--model", "m", "--health-timeout", "20", "--stop-grace", "1")
    _, document = vllm_on_path.run("test_serve_mode", tmp_path / "serve.json", *flags, mode="ignores_term")
    assert document["status"] == "PASS"
    assert (document["stop"]["signal_used"], document["stop"]["orphans"]) == ("KILL", [])


def test_a_missing_chat_template_leaves_the_completions_and_is_recorded(tmp_path: Path) -> None:
    _, document = vllm_on_path.run("test_serve_mode", tmp_path / "s.json", *FLAGS, mode="no_chat_template")
    assert document["status"] == "PASS"
    skipped = [request for request in document["requests"] if request.get("skipped")]
    assert {request["kind"] for request in skipped} == {"chat"}


def test_a_port_of_somebody_else_is_refused_and_its_owner_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        code, document = vllm_on_path.run("test_serve_mode", tmp_path / "s.json", *FLAGS, "--port", port)
        assert (code, document["category"], document["stage_reached"]) == (1, "port_in_use", "port")
        assert document["error"].startswith("port_in_use")
        assert document["pid"] is None
        socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()


def test_a_plugin_that_raises_at_load_is_recorded_as_failed(tmp_path: Path) -> None:
    metadata = tmp_path / "broken_plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[vllm.platform_plugins]\nfl = broken_plugin:register\n")
    path = os.pathsep.join([vllm_on_path.environment()["PYTHONPATH"], str(tmp_path)])
    _, document = vllm_on_path.run(
        "test_serve_mode", tmp_path / "s.json", *FLAGS, PYTHONPATH=path, VLLM_PLUGINS="fl"
    )
    assert document["status"] == "PASS"
    assert document["stack_observed"]["plugins_loaded"] == []
    assert document["stack_observed"]["plugins_failed"] == ["fl"]


def test_being_told_to_end_stops_the_server_first_and_says_so(tmp_path: Path) -> None:
    script = vllm_on_path.PROJECT / "container_scripts" / "test_serve_mode.py"
    output = tmp_path / "serve.json"
    program = subprocess.Popen(
        [sys.executable, str(script), "--output", str(output), *FLAGS],
        env=vllm_on_path.environment("never_ready"),
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "serve.json.server.log"
    limit = time.monotonic() + 20
    while not (log.exists() and "EngineCore" in log.read_text()) and time.monotonic() < limit:
        time.sleep(0.05)
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) == 1
    text = output.read_text()
    assert "Terminated" in text
    assert '"orphans": []' in text
