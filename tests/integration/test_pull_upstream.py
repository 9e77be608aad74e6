"""One click on any asset: what is missing or stale above it is launched once, and nothing else ever is."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pytest

from flagrelease_assets.assets.release.step import PULLED_TAG
from flagrelease_assets.contracts.common import Status, StepDocument
from flagrelease_assets.definitions import build_defs
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.sensors.pull_upstream import pull_upstream, waiting_steps
from tests.doubles.instant_scripts import HEALTHY
from tests.integration.rig import STEPS, Rig
from tests.integration.test_webserver import LAUNCH, ask

DEADLINE_S = 150
QUIET_S = 25
"""Longer than several ticks of the sensor: a second closure would have been launched by then."""


def requested(rig: Rig, result: dg.ExecuteInProcessResult) -> dg.RunRequest | dg.SkipReason:
    """Return what the sensor makes of a finished run."""
    definitions = build_defs(resource_overrides={"deployment": rig.resource})
    context = dg.build_run_status_sensor_context(
        sensor_name="pull_upstream",
        dagster_event=result.all_events[-1],
        dagster_instance=rig.instance,
        dagster_run=result.dagster_run,
        repository_def=definitions.get_repository_def(),
        resources={"deployment": rig.resource},
    )
    answer = pull_upstream(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def steps_of(request: dg.RunRequest | dg.SkipReason) -> list[str]:
    assert isinstance(request, dg.RunRequest), request
    return sorted(key.to_user_string() for key in request.asset_selection or [])


def test_a_step_with_nothing_above_it_waits_and_its_whole_closure_is_requested(rig: Rig) -> None:
    rig.write_deployment()
    rig.instance.add_dynamic_partitions("model", ["org--toy"])
    result = rig.materialize("benchmark_metrics")
    document = rig.document(StepDocument, "benchmark_metrics")
    assert document.status == Status.BLOCKED
    assert "recommended_stack" in document.missing_upstream
    assert "missing upstream" in (document.reason or "")
    assert "pull_upstream launches it" in (document.reason or "")
    request = requested(rig, result)
    assert steps_of(request) == sorted(set(STEPS) - {"accuracy_metrics", "release_report"}), (
        "the closure of the clicked asset, not more"
    )
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == f"pull-{result.run_id}"
    assert request.tags[PULLED_TAG] == result.run_id


def test_the_report_alone_waits_too_instead_of_failing_a_release_that_never_ran(rig: Rig) -> None:
    rig.write_deployment()
    rig.instance.add_dynamic_partitions("model", ["org--toy"])
    result = rig.materialize("release_report")
    assert result.success
    assert rig.document(StepDocument, "release_report").status == Status.BLOCKED
    assert steps_of(requested(rig, result)) == sorted(STEPS)


def test_with_fresh_results_above_it_a_step_just_runs(rig: Rig) -> None:
    rig.run()
    result = rig.materialize("benchmark_metrics")
    assert rig.document(StepDocument, "benchmark_metrics").status == Status.PASS
    assert isinstance(requested(rig, result), dg.SkipReason)


def test_a_newer_result_above_makes_what_was_measured_before_it_stale(rig: Rig) -> None:
    rig.run()
    rig.run(job="run_a", force=["run_a_result"])
    result = rig.materialize("benchmark_metrics")
    document = rig.document(StepDocument, "benchmark_metrics")
    assert document.status == Status.BLOCKED
    assert "diff_analysis was measured with another result of run_a_result" in (document.reason or "")
    assert "benchmark_metrics" in steps_of(requested(rig, result))


def test_other_programs_make_everything_above_stale(rig: Rig) -> None:
    rig.run()
    rig.answer({"test_serve_mode": {**HEALTHY["test_serve_mode"], "startup_s": 7.0}})
    rig.materialize("recommended_stack")
    assert "measured by other programs" in (rig.document(StepDocument, "recommended_stack").reason or "")


def test_a_gate_that_failed_above_is_a_finding_and_launches_nothing(rig: Rig) -> None:
    rig.answer({"validate_packages": {"status": "FAIL", "packages": {}}})
    rig.run()
    result = rig.materialize("benchmark_metrics")
    document = rig.document(StepDocument, "benchmark_metrics")
    assert (document.status, document.missing_upstream) == (Status.BLOCKED, [])
    assert isinstance(requested(rig, result), dg.SkipReason)


def test_a_gate_that_opened_since_is_worth_another_closure(rig: Rig) -> None:
    rig.answer({"validate_packages": {"status": "FAIL", "packages": {}}})
    rig.run()
    rig.answer({})
    rig.run(job="install")
    result = rig.materialize("env_verification")
    assert rig.document(StepDocument, "env_verification").status == Status.PASS
    assert isinstance(requested(rig, result), dg.SkipReason)
    assert "run_a_result" in steps_of(requested(rig, rig.materialize("diff_analysis")))


@pytest.mark.parametrize("job", ["environment", "run_a", "run_b", "compare", "benchmark", "accuracy"])
def test_there_is_a_closure_job_for_every_useful_target(rig: Rig, job: str) -> None:
    assert rig.run(job=job).document is not None


def test_a_closure_that_ends_blocked_asks_for_no_other(rig: Rig, instance: dg.DagsterInstance) -> None:
    rig.write_deployment()
    rig.instance.add_dynamic_partitions("model", ["org--toy"])
    result = rig.materialize("benchmark_metrics")
    run = instance.get_run_by_id(result.run_id)
    assert run is not None and waiting_steps(rig.resource.store(), run)
    pulled = run.with_tags({**run.tags, PULLED_TAG: "another"})
    assert waiting_steps(rig.resource.store(), pulled) == []


def test_the_daemon_launches_the_closure_of_a_clicked_asset_exactly_once(
    webserver: int, daemon: Path
) -> None:
    store = ResultStore(str(daemon / "results"))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("model", ["org--a"])
        selector = {
            "repositoryLocationName": "flagrelease",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["recommended_stack"]}],
        }
        tags = {"dagster/partition": "org--a|nvidia", "dagster/partition/vendor": "nvidia",
                "dagster/partition/model": "org--a"}  # fmt: skip
        execution = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = ask(webserver, LAUNCH, {"executionParams": execution})
        assert answer["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", answer
        clicked = answer["launchPipelineExecution"]["run"]["runId"]
        end = time.monotonic() + DEADLINE_S
        document: StepDocument | None = None
        while time.monotonic() < end and (document is None or document.status == Status.BLOCKED):
            document = store.latest("recommended_stack", "nvidia", "org--a")
            time.sleep(1)
        log = (daemon / "daemon.log").read_text()[-3000:]
        assert document is not None and document.status == Status.PASS, log
        assert store.latest("benchmark_metrics", "nvidia", "org--a") is None, "more than the closure ran"
        time.sleep(QUIET_S)
        runs = instance.get_runs()
        assert sorted(run.tags.get(PULLED_TAG, "") for run in runs) == ["", clicked]
