"""Verdicts on a full stack for real: real vLLM in a container, with test parts that misbehave on demand.

The modes are a setting of the test parts (tests/doubles/fl_test_plugin), read from a file, so that the
worker's environment, and with it Run A, stays the same: only Run B is measured anew for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    DiffAnalysis,
    InstallStatus,
    ModelRun,
    RecommendedStack,
)
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.workers.config import DockerWorkerConfig
from flagrelease_assets.workers.factory import open_worker
from tests.doubles.fl_test_wheels import build_wheels
from tests.e2e.installation import Installation

STACK_RELEASE = Path(__file__).parents[1] / "data" / "stack_releases" / "cpu-0.32.0-fl-test.yaml"
IMPOSSIBLE = "flagrelease/toy-in-an-impossible-dtype"
SHORT_DEADLINES = {"startup": 75.0, "startup_idle": 75.0, "request": 10.0, "stop_grace": 5.0}

pytestmark = pytest.mark.timeout(1200)


class FullStack:
    """An installation whose worker has a full stack, and the switch for what is wrong with it."""

    def __init__(self, installation: Installation, settings_file: Path) -> None:
        self.installation = installation
        self.settings_file = settings_file

    def verify(
        self, mode: str, component: str = "plugin", operators: str = "embedding"
    ) -> tuple[ModelRun, DiffAnalysis, Stack]:
        """Measure Run B in a mode; return it with what is concluded and recommended."""
        settings = f"FL_TEST_MODE={mode}\nFL_TEST_COMPONENT={component}\nFL_TEST_OPERATORS={operators}\n"
        self.settings_file.write_text(settings, encoding="utf-8")
        result, _ = self.installation.run("verify", force=["run_b_result"])
        assert result.success, result.failure
        return (
            self.installation.document(ModelRun, "run_b_result"),
            self.installation.document(DiffAnalysis, "diff_analysis"),
            self.installation.document(RecommendedStack, "recommended_stack").recommended_stack,
        )


@pytest.fixture(scope="module")
def installation(
    worker_config: DockerWorkerConfig,
    models_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Installation]:
    build_wheels(models_root / "wheels")
    settings_file = models_root / "fl-test-settings"
    settings_file.write_text("", encoding="utf-8")
    with dg.DagsterInstance.ephemeral() as instance:
        folder = tmp_path_factory.mktemp("stack-modes")
        installation = Installation.create(folder, instance, worker_config, models_root)
        installation.content["stack_releases"] = [str(STACK_RELEASE)]
        installation.worker.update(
            stack_release=STACK_RELEASE.stem,
            pip_args=["--find-links", str(models_root / "wheels")],
            environment={"FL_TEST_FILE": str(settings_file)},
        )
        installation.write()
        result, _ = installation.run("install")
        assert result.success, result.failure
        request.getfixturevalue("toy_model")  # is made by the torch that was just installed
        yield installation


@pytest.fixture
def full_stack(installation: Installation, models_root: Path) -> FullStack:
    return FullStack(installation, models_root / "fl-test-settings")


def test_the_full_stack_of_an_own_stack_release_is_installed_from_a_folder_of_wheels(
    installation: Installation,
) -> None:
    install = installation.document(InstallStatus, "install_status")
    assert install.status == Status.PASS, install.reason
    assert install.stack_release == STACK_RELEASE.stem
    assert install.packages["flaggems"].provider == "flag-gems-test"
    assert install.packages["vllm_plugin_fl"].provider == "vllm-plugin-fl-test"


def test_a_healthy_full_stack_is_recommended_on_positive_evidence(full_stack: FullStack) -> None:
    run_b, diff, recommended = full_stack.verify("healthy")
    assert run_b.status == Status.PASS, run_b.reason
    for phase in ("offline", "serve"):
        assert run_b.stack_evidence[phase]["plugins_loaded"] == ["fl"]
        assert run_b.stack_evidence[phase]["vllm_platform"] == "vllm_fl.platform.PlatformFL"
        assert run_b.stack_evidence[phase]["flaggems_ops"] > 0
    assert (diff.conclusion, diff.status) == ("BOTH_PASS", Status.PASS), diff.reasons
    assert diff.agreement is not None
    assert diff.agreement["identical"] == diff.agreement["prompts"]
    assert recommended == Stack.FULL


def test_a_plugin_that_raises_at_load_is_no_full_stack_although_everything_answers(
    full_stack: FullStack,
) -> None:
    run_b, diff, recommended = full_stack.verify("raises_at_load")
    assert run_b.phase_b_serve is not None
    assert run_b.phase_b_serve.status == "PASS"
    assert run_b.stack_evidence["serve"]["plugins_failed"] == ["fl"]
    assert (diff.conclusion, recommended) == ("STACK_NOT_ACTIVE", Stack.BASE)
    assert diff.multichip_component == "plugin"


def test_corrupted_logits_are_a_divergence_although_the_server_is_healthy(full_stack: FullStack) -> None:
    run_b, diff, recommended = full_stack.verify("corrupts_logits", "plugin")
    assert run_b.status == Status.PASS
    assert (diff.conclusion, recommended) == ("OUTPUT_DIVERGENCE", Stack.BASE)
    assert diff.multichip_component == "plugin"


def test_the_guilty_operator_is_found_and_the_stack_without_it_is_recommended(full_stack: FullStack) -> None:
    _, diff, recommended = full_stack.verify("corrupts_logits", "flaggems", operators="embedding")
    assert (diff.conclusion, diff.multichip_component) == ("OUTPUT_DIVERGENCE", "FlagGems")
    assert diff.operator_search is not None
    assert (diff.operator_search.guilty, diff.operator_search.verified) == ([["embedding"]], True)
    assert diff.operator_search.operators == 16
    assert diff.operator_search.starts <= diff.operator_search.starts_bound == 7
    assert diff.reduced_stack is not None
    assert diff.reduced_stack.flags["VLLM_FL_FLAGOS_BLACKLIST"] == "embedding"
    assert diff.reduced_stack.works
    assert recommended == Stack.REDUCED


def test_two_guilty_operators_are_both_found_the_known_one_first(full_stack: FullStack) -> None:
    _, diff, recommended = full_stack.verify("corrupts_logits", "flaggems", operators="argmax,embedding")
    assert diff.operator_search is not None
    assert sorted(diff.operator_search.names) == ["argmax", "embedding"]
    assert diff.operator_search.verified
    assert diff.reduced_stack is not None
    # Nothing of FlagGems is left that this model would run: that is no stack with FlagGems any more.
    assert (diff.reduced_stack.works, diff.reduced_stack.conclusion) == (False, "STACK_NOT_ACTIVE")
    assert recommended == Stack.BASE


def test_an_engine_that_dies_right_after_its_startup_is_noticed_and_base_is_recommended(
    full_stack: FullStack,
) -> None:
    run_b, diff, recommended = full_stack.verify("crashes_after_startup", "flaggems")
    assert run_b.phase_a_offline is not None
    assert run_b.phase_b_serve is not None
    assert (run_b.phase_a_offline.status, run_b.phase_b_serve.status) == ("PASS", "FAIL")
    # Noticed while it was waited for, or (false_ready) by the first request: the server's end decides.
    assert "ended with" in (run_b.phase_b_serve.error or "")
    [serve_log] = [log for job in run_b.jobs for log in job.logs if log.endswith("serve.server.log")]
    store = full_stack.installation.resource.store()
    assert "Application startup complete" in (store.root / serve_log).read_text(errors="replace")
    assert (diff.conclusion, recommended) == ("MULTICHIP_ERROR", Stack.BASE)


def test_a_hang_in_the_first_request_ends_at_its_deadline_and_leaves_no_process(
    full_stack: FullStack, worker_config: DockerWorkerConfig
) -> None:
    worker = full_stack.installation.worker
    worker.update(deadlines=SHORT_DEADLINES, retries=0, operator_search={"total": 1.0})
    full_stack.installation.write()
    try:
        run_b, diff, recommended = full_stack.verify("hangs_in_first_request", "flaggems")
    finally:
        del worker["deadlines"], worker["retries"], worker["operator_search"]
        full_stack.installation.write()
    assert {error.category for error in run_b.errors} == {"timeout"}
    assert {error.phase for error in run_b.errors} == {"offline", "serve"}
    assert (diff.conclusion, recommended) == ("MULTICHIP_ERROR", Stack.BASE)
    assert any("no time for another engine start" in reason for reason in diff.reasons), diff.reasons
    with open_worker(worker_config) as opened:
        processes = opened.execute(["ps", "-eo", "args"], timeout_s=30).stdout.decode()
    assert not [line for line in processes.splitlines() if "vllm" in line.lower()], processes


def test_a_base_that_fails_recommends_nothing_blocks_the_benchmark_and_is_reported(
    full_stack: FullStack,
) -> None:
    installation = full_stack.installation
    [entry] = installation.content["models"]
    impossible = {**entry, "id": IMPOSSIBLE, "dtype": "bogus"}
    installation.content["models"] = [entry, impossible]
    installation.write()
    full_stack.settings_file.write_text("FL_TEST_MODE=healthy\n", encoding="utf-8")
    model = model_key(IMPOSSIBLE)
    result, _ = installation.run("release", model)
    run_a = installation.document(ModelRun, "run_a_result", model)
    assert run_a.status == Status.FAIL
    assert "bogus" in (run_a.reason or "")
    recommended = installation.document(RecommendedStack, "recommended_stack", model)
    assert recommended.recommended_stack == Stack.NONE
    assert installation.document(BenchmarkMetrics, "benchmark_metrics", model).status == Status.BLOCKED
    assert result.report is not None
    assert result.report.status == Status.FAIL
    assert "bogus" in (result.report.reason or "")
