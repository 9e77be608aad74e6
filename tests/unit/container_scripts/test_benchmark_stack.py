from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doubles import vllm_on_path

PROFILES = [
    {"name": "first", "input_len": 16, "output_len": 8, "num_prompts": 4},
    {"name": "second", "input_len": 8, "output_len": 4, "num_prompts": 8},
]


@pytest.fixture
def flags(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps(PROFILES))
    return ("--model", "m", "--profiles", str(path), "--health-timeout", "20", "--stop-grace", "5")


def test_a_healthy_stack_is_started_measured_and_stopped(tmp_path: Path, flags: tuple[str, ...]) -> None:
    code, document = vllm_on_path.run("benchmark_stack", tmp_path / "b.json", *flags)
    assert (code, document["status"], document["profiles_passed"]) == (0, "PASS", "2/2")
    assert document["summary_table"].count("PASS") == 2
    assert document["max_model_len"] == 8192
    assert document["restarts"] == 0
    assert (document["server"]["stop"]["orphans"], document["server"]["stop"]["port_closed"]) == ([], True)
    assert document["startup_s"] > 0
    assert (tmp_path / "first.json").exists()


def test_each_profile_is_repeated_and_the_servers_effective_configuration_kept(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    _, document = vllm_on_path.run(
        "benchmark_stack", tmp_path / "b.json", *flags, "--repeats", "2", "--dtype", "float16"
    )
    assert [len(profile["repeats"]) for profile in document["profiles"]] == [2, 2]
    config = document["server"]["effective_config"]
    assert (config["dtype"], config["kv_cache_tokens"], config["execution"]) == ("float16", 93_200, "eager")
    assert config["arguments"]["dtype"] == "float16"


def test_a_server_that_dies_in_every_profile_is_restarted_once_only(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    code, document = vllm_on_path.run(
        "benchmark_stack", tmp_path / "b.json", *flags, mode="dies_in_benchmark"
    )
    assert (code, document["status"], document["restarts"]) == (1, "FAIL", 1)
    assert all(profile["server_died"] for profile in document["profiles"])
    assert "illegal memory access" in document["died_servers"][0]["log_tail"]
    assert document["died_servers"][0]["ended_by_itself_with"] == 0
    assert "illegal memory access" in document["traceback"]


@pytest.mark.parametrize("mode", ["oom", "exits_zero", "dies_at_start"])
def test_a_server_that_does_not_start_fails_without_any_profile(
    tmp_path: Path, flags: tuple[str, ...], mode: str
) -> None:
    code, document = vllm_on_path.run("benchmark_stack", tmp_path / "b.json", *flags, mode=mode)
    assert (code, document["status"], document["profiles_passed"]) == (1, "FAIL", "0/2")
    assert "by itself" in document["error"]
    assert document["server"]["stop"]["orphans"] == []


def test_a_result_folder_that_cannot_be_written_is_reported_and_the_server_stopped(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "results")
    code, document = vllm_on_path.run("benchmark_stack", tmp_path / "b.json", *flags, "--output-dir", folder)
    assert (code, document["status"]) == (1, "FAIL")
    assert document["error"].startswith("NotADirectoryError")
    assert (document["server"]["stop"]["signal_used"], document["server"]["stop"]["orphans"]) == ("TERM", [])


def test_an_empty_list_of_profiles_fails(tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "profiles.json").write_text("[]")
    _, document = vllm_on_path.run("benchmark_stack", tmp_path / "b.json", *flags)
    assert (document["status"], document["error"]) == ("FAIL", "no profile was selected")
