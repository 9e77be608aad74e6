from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_scripts import bench_client, run_all_benchmarks, run_benchmark
from container_scripts.bench_client import Target
from container_scripts.benchmark_metrics import Profile
from container_scripts.vllm_server import ServerFailure, VllmServer
from tests.doubles.vllm_on_path import Start, servers


@pytest.fixture
def start_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with servers(tmp_path, monkeypatch) as start:
        yield start


def target_of(server: VllmServer, folder: Path) -> Target:
    return Target("127.0.0.1", server.port, "served", "m", str(folder), timeout_s=60, num_warmups=2)


SMALL = Profile("small", 16, 8, 4)


def test_a_profile_is_measured_warmed_up_and_judged(start_server: Start, tmp_path: Path) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path / "out"), SMALL)
    assert (document["status"], document["source"], document["endpoint_type"]) == ("PASS", "json", "chat")
    assert document["metrics"]["completed_requests"] == 4
    assert document["metrics"]["total_output_tokens"] == 32
    assert document["warmup"]["completed"] == document["warmup"]["requests"] == 2
    assert "Serving Benchmark Result" in Path(document["log_path"]).read_text()


def test_the_engines_own_count_agrees_with_a_healthy_client_its_probe_accounted_for(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    check = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)["engine_check"]
    assert (check["status"], check["findings"], check["unmeasured_requests"]) == ("AGREE", [], 1)
    assert (check["requests"]["client"], check["requests"]["engine"]) == (5, 5)
    assert (check["output_tokens"]["client"], check["output_tokens"]["engine"]) == (40, 40)


def test_a_disagreement_with_the_engine_makes_the_profile_partial(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("miscounts")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)
    assert (document["status"], document["engine_check"]["status"]) == ("PARTIAL", "DISAGREE")
    assert any("requests: the client says 5, the engine 10" in reason for reason in document["reasons"])


def test_an_engine_without_counters_is_said_but_fails_nothing(start_server: Start, tmp_path: Path) -> None:
    server = start_server("no_metrics")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)
    assert (document["status"], document["engine_check"]["status"]) == ("PASS", "UNAVAILABLE")
    assert document["engine_check"]["findings"]


def test_empty_answers_with_status_200_are_failed_requests_and_no_part_of_the_latencies(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("empty_in_benchmark")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)
    metrics = document["metrics"]
    assert (document["status"], document["empty_answers"]) == ("PARTIAL", 2)
    assert (metrics["completed_requests"], metrics["failed_requests"]) == (2, 2)
    assert metrics["total_output_tokens"] == 16
    assert metrics["latency_mean_ms"] <= metrics["latency_p99_ms"] * 1.01
    assert "2 answers with status 200 were empty; they count as failed requests" in document["reasons"]


def test_repeats_have_prompts_and_files_of_their_own_and_the_median_is_reported(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    target = dataclasses.replace(target_of(server, tmp_path), repeats=3)
    document = run_benchmark.run_profile(target, SMALL)
    rates = sorted(repeat["metrics"]["throughput_tok_s"] for repeat in document["repeats"])
    assert document["status"] == "PASS"
    assert document["metrics"]["throughput_tok_s"] == rates[1]
    assert document["spread"]["throughput_tok_s"] == pytest.approx((rates[2] - rates[0]) / rates[1], abs=1e-3)
    seeds = {repeat["command"][repeat["command"].index("--seed") + 1] for repeat in document["repeats"]}
    assert len(seeds) == 3
    assert len(list(tmp_path.glob("small*.client.json"))) == 3


def test_a_profile_that_cannot_run_is_not_repeated(start_server: Start, tmp_path: Path) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    target = dataclasses.replace(target_of(server, tmp_path), repeats=3)
    document = run_benchmark.run_profile(target, Profile("long", 2000, 8, 4))
    assert (document["status"], document["repeats"]) == ("SKIPPED", [])


def test_a_result_file_of_an_earlier_run_is_not_read(start_server: Start, tmp_path: Path) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    (tmp_path / "small.client.json").write_text('{"completed": 4}')
    target = dataclasses.replace(target_of(server, tmp_path), extra_args=("--num-prompts", "nonsense"))
    document = run_benchmark.run_profile(target, SMALL)
    assert (document["status"], document["source"], document["metrics"]) == ("FAIL", None, {})
    assert "the client ended with code 2" in document["error"]


def test_a_profile_beyond_the_context_is_skipped_before_the_client_starts(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("healthy")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), Profile("long", 2000, 8, 4))
    assert (document["status"], document["command"], document["error"]) == ("SKIPPED", None, None)
    assert "2072 tokens are needed and the model's context is 2048" in document["reasons"][0]


def test_another_server_than_the_expected_is_not_benchmarked(start_server: Start, tmp_path: Path) -> None:
    server = start_server("wrong_model")
    with pytest.raises(ServerFailure, match="another-model"):
        server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)
    assert (document["status"], document["command"]) == ("FAIL", None)


def test_without_chat_template_the_completions_endpoint_is_used_and_recorded(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("no_chat_template")
    server.wait_until_healthy(20)
    document = run_benchmark.run_profile(target_of(server, tmp_path), SMALL)
    assert (document["status"], document["endpoint_type"]) == ("PASS", "completions")


def test_a_profile_that_takes_too_long_is_ended_with_its_client(start_server: Start, tmp_path: Path) -> None:
    server = start_server("hangs_first_request")
    server.wait_until_healthy(20)
    target = dataclasses.replace(
        target_of(server, tmp_path), timeout_s=1.0, num_warmups=0, endpoint_type="chat"
    )
    document = run_benchmark.run_profile(target, SMALL)
    assert document["status"] == "FAIL"
    assert document["reasons"][0].startswith("the profile's time was over")


def test_each_profile_has_prompts_of_its_own_because_the_prefix_cache_outlives_it() -> None:
    target = bench_client.Target("127.0.0.1", 1, "served", "m", "out")
    seeds = {bench_client.profile_seed(target, profile) for profile in run_all_benchmarks.read_profiles(None)}
    assert len(seeds) == 5


def test_the_client_loads_no_plugin_and_uses_no_proxy_for_the_local_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_PLUGINS", "fl")
    monkeypatch.setenv("NO_PROXY", "example.org")
    environment = bench_client.client_environment()
    assert environment["VLLM_PLUGINS"] == ""
    assert environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"
