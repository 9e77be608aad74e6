from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_scripts import run_all_benchmarks
from container_scripts.bench_client import Target
from container_scripts.benchmark_metrics import Profile
from container_scripts.vllm_server import VllmServer
from tests.doubles.vllm_on_path import Start, servers


@pytest.fixture
def start_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with servers(tmp_path, monkeypatch) as start:
        yield start


def target_of(server: VllmServer, folder: Path) -> Target:
    return Target("127.0.0.1", server.port, "served", "m", str(folder), timeout_s=60, num_warmups=2)


SMALL = Profile("small", 16, 8, 4)


def test_profiles_after_the_servers_death_fail_at_once_and_name_the_culprit(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("dies_in_benchmark")
    server.wait_until_healthy(20)
    profiles = [SMALL, Profile("second", 16, 8, 4)]
    body = run_all_benchmarks.run_profiles(target_of(server, tmp_path), profiles)
    assert (body["status"], body["profiles_passed"]) == ("FAIL", "0/2")
    assert body["profiles"][0]["server_died"]
    assert body["profiles"][1]["error"] == "not started: the server died during profile small"
    assert (tmp_path / "second.json").exists()


def test_no_profile_is_a_failure_not_a_pass(start_server: Start, tmp_path: Path) -> None:
    server = start_server("healthy")
    body = run_all_benchmarks.run_profiles(target_of(server, tmp_path), [])
    assert (body["status"], body["profiles_passed"], body["error"]) == (
        "FAIL",
        "0/0",
        "no profile was selected",
    )


def test_the_five_profiles_of_the_catalog_are_the_default() -> None:
    profiles = run_all_benchmarks.read_profiles(None)
    assert len(profiles) == 5
    assert profiles[0] == Profile("short_prefill_short_decode", 256, 128, 100)


GOOD = {"name": "a", "input_len": 1, "output_len": 1, "num_prompts": 1}


@pytest.mark.parametrize("entries", [[{**GOOD, "num_prompts": 0}], [{"name": "a"}], [GOOD, GOOD], [3]])
def test_a_wrong_list_of_profiles_is_refused(tmp_path: Path, entries: list[object]) -> None:
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="profile"):
        run_all_benchmarks.read_profiles(str(path))
