"""The release as a graph: gates as data, reuse by fingerprint, force, closures."""

from __future__ import annotations

import dagster as dg
import pytest

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    EnvVerification,
    InstallStatus,
    ModelRun,
    RecommendedStack,
    ReleaseReport,
)
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.definitions import defs
from flagrelease_assets.partitions import release_key
from tests.doubles.instant_scripts import HEALTHY
from tests.integration.rig import STEPS, Rig

BROKEN_VLLM = {
    "status": "PASS",
    "overall": {"status": "FAIL", "gate_passed": False},
    "packages": {"vllm": {"status": "FAIL", "reason": "libcudart.so.13: cannot open shared object file"}},
    "distributions_digest": "p1",
}
OUT_OF_MEMORY = {
    "status": "FAIL",
    "phase": "serve",
    "stage_reached": "health",
    "error": "RuntimeError: server exited with code 1",
    "traceback": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
}


def test_a_release_stores_every_step_and_is_partial_because_run_b_does_not_exist_on_cpu(rig: Rig) -> None:
    result = rig.run()
    assert result.success
    assert result.report is not None
    assert result.report.status == Status.PARTIAL
    assert rig.document(ModelRun, "run_b_result").status == Status.SKIPPED
    assert rig.document(RecommendedStack, "recommended_stack").recommended_stack == Stack.BASE
    assert result.report.steps.perf_test.profiles_passed == "5/5"
    assert [line.step for line in result.report.step_lines] == list(STEPS[:-1])


def test_the_report_has_exactly_the_final_reports_keys_and_more_beside_them(rig: Rig) -> None:
    report = rig.run().report
    assert report is not None
    stored = report.model_dump(mode="json")
    keys = {"status", "pipeline", "container", "vendor", "model", "tensor_parallel_size", "steps", "errors"}
    assert keys | {"conclusion"} <= stored.keys()
    assert stored["pipeline"] == "flagrelease"
    assert stored["steps"].keys() == {"install_stack", "env_verify", "model_verify", "perf_test"}
    assert stored["steps"]["install_stack"].keys() == {"status", "packages"}
    assert stored["steps"]["env_verify"].keys() == {"status", "phase_a", "phase_b"}
    assert stored["steps"]["model_verify"].keys() == {"status", "run_a", "run_b", "recommended_stack"}
    assert stored["steps"]["perf_test"].keys() == {"status", "profiles_passed", "summary_table"}


def test_an_unchanged_second_release_starts_no_job_and_names_the_run_it_reuses(rig: Rig) -> None:
    first = rig.run()
    second = rig.run()
    assert rig.jobs_started() == []
    assert second.report is not None
    reused = {line.step: line.reused_from_run for line in second.report.step_lines if line.reused_from_run}
    assert set(reused) == {
        "install_status",
        "env_verification",
        "model_snapshot",
        "run_a_result",
        "benchmark_metrics",
    }
    assert set(reused.values()) == {first.run_id}


def test_a_third_release_still_names_the_run_that_measured(rig: Rig) -> None:
    first = rig.run()
    rig.run()
    rig.run()
    assert rig.document(BenchmarkMetrics, "benchmark_metrics").reused_from_run == first.run_id


def test_force_measures_everything_anew(rig: Rig) -> None:
    rig.run()
    rig.run(force=True)
    assert any("benchmark" in job for job in rig.jobs_started())
    assert rig.document(InstallStatus, "install_status").reused_from_run is None


def test_force_by_name_measures_that_step_alone_anew(rig: Rig) -> None:
    first = rig.run()
    rig.run(force=["run_a_result"])
    assert rig.document(ModelRun, "run_a_result").reused_from_run is None
    assert rig.document(EnvVerification, "env_verification").reused_from_run == first.run_id


def test_install_and_environment_are_not_repeated_for_a_second_model_on_the_same_worker(rig: Rig) -> None:
    rig.models = [*rig.models, {"id": "org/other", "source": "folder", "path": "/models/other"}]
    rig.write_deployment()
    first = rig.run()
    rig.run(model="org/other")
    assert rig.document(InstallStatus, "install_status", model="org/other").reused_from_run == first.run_id
    environment = rig.document(EnvVerification, "env_verification", model="org/other")
    assert environment.reused_from_run == first.run_id
    assert rig.document(ModelRun, "run_a_result", model="org/other").reused_from_run is None


def test_a_changed_package_set_installs_and_measures_again(rig: Rig) -> None:
    rig.run()
    changed = {**HEALTHY["worker_identity"], "packages_digest": "p2"}
    rig.answer({"worker_identity": changed})
    rig.run()
    assert any("install_package" in job for job in rig.jobs_started())
    assert any("benchmark" in job for job in rig.jobs_started())


def test_a_changed_model_folder_is_measured_again_but_the_stack_is_reused(rig: Rig) -> None:
    rig.run()
    scripts_changed_nothing_else = {**HEALTHY["worker_identity"], "model": {"digest": "m2"}}
    assert rig.scripts is not None
    answers = rig.scripts / "worker_identity_answers.json"
    import json

    answers.write_text(json.dumps({"default": scripts_changed_nothing_else}), encoding="utf-8")
    rig.run()
    started = " ".join(rig.jobs_started())
    assert "run_offline_inference" in started


def test_a_closed_install_gate_blocks_everything_below_without_touching_the_worker(rig: Rig) -> None:
    rig.answer({"validate_packages": BROKEN_VLLM})
    result = rig.run()
    assert not result.success, "a FAIL verdict turns the run red"
    assert result.report is not None
    assert result.report.status == Status.FAIL
    assert "install gate" in result.report.conclusion
    statuses = {line.step: line.status for line in result.report.step_lines}
    assert statuses["install_status"] == Status.FAIL
    assert {statuses[step] for step in STEPS[1:-1]} == {Status.BLOCKED}
    assert not any("run_offline" in job for job in rig.jobs_started())
    error = rig.document(InstallStatus, "install_status").errors[0]
    assert (error.step, error.phase, error.fatal) == ("install_status", "validate", True)


def test_a_base_run_that_fails_gives_none_and_no_benchmark_but_a_report(rig: Rig) -> None:
    rig.answer({"test_serve_mode": {"default": HEALTHY["test_serve_mode"], "/models/target": OUT_OF_MEMORY}})
    rig.models = [{"id": "org/toy", "source": "folder", "path": "/models/target"}]
    files = {**HEALTHY["prepare_model"], "path": "/models/target"}
    rig.answer(
        {
            "prepare_model": {"default": HEALTHY["prepare_model"], "/models/target": files},
            "test_serve_mode": {"default": HEALTHY["test_serve_mode"], "/models/target": OUT_OF_MEMORY},
        }
    )
    result = rig.run()
    assert result.report is not None
    assert result.report.status == Status.FAIL
    assert rig.document(RecommendedStack, "recommended_stack").recommended_stack == Stack.NONE
    assert rig.document(BenchmarkMetrics, "benchmark_metrics").status == Status.BLOCKED
    error = rig.document(ModelRun, "run_a_result").errors[0]
    assert (error.layer, error.component, error.category) == ("2", "memory", "oom")


def test_a_failure_is_never_reused(rig: Rig) -> None:
    rig.answer({"validate_packages": BROKEN_VLLM})
    rig.run()
    rig.run()
    assert any("validate_packages" in job for job in rig.jobs_started())


def test_a_step_alone_with_nothing_above_it_is_blocked_and_says_what_is_missing(rig: Rig) -> None:
    rig.write_deployment()
    rig.instance.add_dynamic_partitions("model", ["org--toy"])
    from flagrelease_assets.definitions import build_defs

    job = build_defs(resource_overrides={"deployment": rig.resource}).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=rig.instance,
        partition_key=release_key("cpu", "org--toy"),
        asset_selection=[dg.AssetKey("benchmark_metrics")],
        raise_on_error=False,
    )
    assert result.success
    blocked = rig.document(BenchmarkMetrics, "benchmark_metrics")
    assert blocked.status == Status.BLOCKED
    assert "recommended_stack has no stored result" in (blocked.reason or "")


def test_the_verify_job_ends_at_the_recommendation(rig: Rig) -> None:
    rig.run(job="verify")
    assert rig.document(RecommendedStack, "recommended_stack").status == Status.PARTIAL
    assert rig.resource.store().latest("benchmark_metrics", "cpu", "org--toy") is None


def test_materializing_one_downstream_asset_later_uses_what_is_stored(rig: Rig) -> None:
    rig.run(job="verify")
    rig.run()
    assert all("benchmark" in job for job in rig.jobs_started()), rig.jobs_started()


def test_the_report_is_red_and_complete_when_a_program_is_killed(rig: Rig) -> None:
    rig.answer({})
    assert rig.scripts is not None
    (rig.scripts / "test_serve_mode.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    result = rig.run()
    assert result.report is not None
    environment = rig.document(EnvVerification, "env_verification")
    assert environment.status == Status.FAIL
    assert environment.phase_a == "PASS"
    assert environment.errors[0].category == "killed"
    assert environment.jobs[-1].signal == 9


@pytest.mark.parametrize(
    ("program", "content"),
    [
        ("nothing", "import sys; sys.exit(0)"),
        ("garbage", "import sys; open(sys.argv[sys.argv.index('--output') + 1], 'w').write('not json {{{')"),
        (
            "half",
            "import sys; open(sys.argv[sys.argv.index('--output') + 1], 'w').write('{\"status\": \"PA')",
        ),
    ],
)
def test_a_program_without_a_whole_result_is_a_harness_error_and_the_report_is_made(
    rig: Rig, program: str, content: str
) -> None:
    assert rig.scripts is not None
    (rig.scripts / "run_offline_inference.py").write_text(content)
    result = rig.run()
    assert result.report is not None
    error = rig.document(EnvVerification, "env_verification").errors[0]
    assert (error.layer, error.phase) == ("X", "offline"), program


def test_every_asset_but_the_board_is_partitioned_by_vendor_and_model() -> None:
    graph = defs.resolve_asset_graph()
    for step in STEPS:
        partitions = graph.get(dg.AssetKey(step)).partitions_def
        assert isinstance(partitions, dg.MultiPartitionsDefinition)
        assert {dimension.name for dimension in partitions.partitions_defs} == {"vendor", "model"}
    assert graph.get(dg.AssetKey("release_board")).partitions_def is None


def test_the_release_job_is_the_closure_of_the_report() -> None:
    keys = {key.to_user_string() for key in defs.resolve_job_def("release").asset_layer.selected_asset_keys}
    assert keys == set(STEPS)


def test_the_report_of_a_release_is_written_as_pages_too(rig: Rig) -> None:
    report = rig.run().report
    assert isinstance(report, ReleaseReport)
    folder = rig.resource.store().root / "reports" / "cpu" / "org--toy"
    assert {path.suffix for path in folder.iterdir()} == {".html", ".md"}
