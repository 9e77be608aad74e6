"""Logs of a real card through the classifier: what failed, whose fault it is, and that healthy logs are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container_scripts import server_log
from container_scripts.error_layers import classify_failure, classify_text
from container_scripts.error_records import Classification, RawFailure
from container_scripts.vllm_server import ServerFailure, ServerSettings, VllmServer
from tests.unit.h200.records import DATA, RUNS, log, phase

HEALTHY = ["A-full", "Aeager", "Bok", "Bokeager", *(f"plugin-{name}" for name in ("a", "aG", "aT"))]
HEALTHY += [f"plugin-{name}" for name in ("bSRG", "dC", "d2GC", "eC")]
FAILED = {
    "fail-oom-kv": ("2", "memory", "oom", "Tried to allocate 10.00 GiB"),
    "fail-oom-util": ("2", "memory", "oom", "less than desired GPU memory utilization"),
    "fail-tp2": ("2", "user", "config", "World size (2) is larger than the number of available GPUs"),
    "fail-badarch": ("3", "model", "arch", "NoSuchForCausalLM"),
    "fail-badtype": ("3", "model", "arch", "nosuch"),
    "B-all-ops": ("3", "unknown", "device_fault", "an illegal memory access was encountered"),
    "plugin-b": ("4", "vllm-plugin-FL", "dispatch", "Could not run '_C::rms_norm'"),
    "plugin-bS": ("4", "vllm-plugin-FL", "dispatch", "_C::rotary_embedding() Expected a value of type 'int'"),
    "plugin-c": ("4", "FlagGems", "flaggems", "cos/sin dim must be half of q/k dim"),
}


class Replay(ServerSettings):
    """Settings of a server that prints a recorded log and ends as its original did: with code 0."""

    def command(self, port: int) -> list[str]:
        """Return the argv that replays the log."""
        return [sys.executable, "-c", f"print(open({self.model!r}).read())"]


def documented(name: str) -> Classification:
    """Classify what the serve phase's document keeps of a log: error line, excerpt, tail."""
    text = log(name)
    return classify_failure(
        RawFailure(
            step="run_b_result",
            phase="serve",
            error=f"the server ended with code 1 by itself; its log says: {server_log.root_error_line(text)}",
            traceback=server_log.failure_excerpt(text),
            logs=(("log", server_log.tail(text)),),
        )
    )


@pytest.mark.parametrize("name", FAILED)
@pytest.mark.parametrize("of", [lambda name: classify_text(log(name)), documented], ids=["log", "document"])
def test_each_failure_is_named_with_layer_component_and_cause(
    of: Callable[[str], Classification], name: str
) -> None:
    found = of(name)
    layer, component, category, words = FAILED[name]
    assert (found.layer, found.component, found.category) == (layer, component, category)
    assert words in found.cause


@pytest.mark.parametrize("name", ["fail-oom-kv", "fail-oom-util", "B-all-ops"])
def test_memory_and_device_faults_are_fatal(name: str) -> None:
    assert classify_text(log(name)).fatal


@pytest.mark.parametrize("name", FAILED)
def test_the_error_line_of_a_dead_server_says_what_killed_it(name: str) -> None:
    words = FAILED[name][3] if name != "plugin-c" else "_C::rotary_embedding()"  # what was raised last
    assert words in server_log.root_error_line(log(name))


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_log_holds_nothing_fatal(name: str) -> None:
    found = classify_text(log(name))
    assert not found.fatal
    assert found.category not in {"oom", "device_fault", "segfault", "flaggems", "flagtree"}


def test_the_plugins_own_broken_fallback_is_the_second_answer_behind_flaggems() -> None:
    found = classify_text(log("plugin-c"))
    assert [candidate.component for candidate in found.candidates[:2]] == ["FlagGems", "vllm-plugin-FL"]
    assert "rotary_embedding" in found.candidates[1].cause


def test_code_0_of_a_server_whose_engine_died_is_a_crash(tmp_path: Path) -> None:
    recorded = DATA / "logs" / "B-all-ops.log"
    server = VllmServer(Replay(str(recorded), "m", 0, str(tmp_path / "server.log")))
    server.start()
    limit = time.monotonic() + 60
    while server.exit_code() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert server.exit_code() == 0
    with pytest.raises(ServerFailure, match=r"ended with code 0 by itself.*illegal memory access"):
        server.ensure_alive("completion")


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_configuration_of_every_run_is_read(name: str) -> None:
    config = phase(RUNS[name], "serve")["effective_config"]
    assert (config["version"], config["dtype"], config["max_model_len"]) == ("0.24.0", "bfloat16", 8192)
    if RUNS[name].answers:
        assert config["kv_cache_tokens"] > 90_000


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize(
    ("ending", "category"),
    [({"signal": 9}, "killed"), ({"ended_by": "idle"}, "timeout")],
    ids=["killed", "idle"],
)
def test_warnings_of_a_start_that_went_well_do_not_explain_how_the_server_ended(
    name: str, ending: dict[str, Any], category: str
) -> None:
    found = classify_failure(RawFailure("run_b_result", "serve", None, None, (("log", log(name)),), **ending))
    assert (found.component, found.category) == ("unknown", category)
