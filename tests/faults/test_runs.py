"""Whole runs: the host's process is killed, two want one worker, the deployment changes under a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from flagrelease_assets.contracts import InstallStatus, ModelSnapshot, ReleaseReport
from flagrelease_assets.contracts.common import Status
from tests.doubles.instant_scripts import FULL_STACK
from tests.faults.machinery import assert_clean, left_of, sabotage, token_of_sabotaged_job, wait_for
from tests.integration.rig import STEPS, Rig

PROJECT = Path(__file__).parents[2]
TIME_LIMIT_S = 90


@contextmanager
def release(rig: Rig, vendor: str = "cpu") -> Iterator[subprocess.Popen[str]]:
    """Start a release in a process of its own; it is killed in the end if it still runs."""
    argv = [
        sys.executable,
        "-m",
        "tests.faults.run_release",
        str(rig.deployment_file),
        str(rig.scripts),
        vendor,
    ]
    process = subprocess.Popen(
        argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )
    watchdog = threading.Timer(TIME_LIMIT_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return seen
    raise AssertionError(f"{words!r} was not said: {seen[-5:]}")


def outcome_of(process: subprocess.Popen[str]) -> tuple[dict[str, Any], list[str]]:
    assert process.stdout is not None
    lines = process.stdout.readlines()
    assert lines and lines[-1].startswith("{"), f"killed by the watchdog after saying {lines[-5:]}"
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer, lines


KILLED_IN = {
    "install_status": "validate_packages",
    "env_verification": "test_serve_mode",
    "model_snapshot": "prepare_model",
    "run_a_result": "run_offline_inference",
    "run_b_result": "test_serve_mode",
    "benchmark_metrics": "benchmark_stack",
}
ON_THE_HOST = ("diff_analysis", "recommended_stack", "accuracy_metrics", "release_report")
"""Steps without a job in the worker."""


def with_full_stack(rig: Rig) -> None:
    """Give the rig a vendor that has a Run B, and programs of a healthy full stack."""
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    rig.answer(FULL_STACK)
    rig.write_deployment()


@pytest.mark.parametrize("step", KILLED_IN)
def test_a_run_that_is_killed_in_a_step_leaves_no_orphan_and_its_repetition_goes_on_from_there(
    rig: Rig, step: str
) -> None:
    with_full_stack(rig)
    sabotage(rig, KILLED_IN[step], step, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)")
    with release(rig, "nvidia") as killed:
        token = token_of_sabotaged_job(rig.folder, KILLED_IN[step], step)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert left_of(token), "a job outlives its host"
    done = STEPS[: STEPS.index(step)]
    before = {name: rig.resource.store().latest(name, "nvidia", "org--toy") for name in done}
    assert all(before.values()), "what was finished is stored"
    with release(rig, "nvidia") as repeated:
        answer, lines = outcome_of(repeated)
    assert answer["status"] == Status.PASS
    said = "".join(lines)
    assert "took the devices over from run " in said and "ended what a dead run had left" in said
    assert left_of(token) == []
    first = rig.resource.store().latest("install_status", "nvidia", "org--toy")
    assert first is not None and any("dead run" in line for line in first.housekeeping), "it is kept"
    for name, was in before.items():
        again = rig.resource.store().latest(name, "nvidia", "org--toy")
        assert again is not None and was is not None
        assert again.reused_from_run == (was.run_id if was.status == Status.PASS else None), name
    assert_clean(rig)


@pytest.mark.parametrize("step", ON_THE_HOST)
def test_a_run_that_is_killed_between_jobs_is_completed_by_its_repetition(rig: Rig, step: str) -> None:
    with_full_stack(rig)
    with release(rig, "nvidia") as killed:
        read_until(killed, f"{step}: ")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    with release(rig, "nvidia") as repeated:
        answer, _ = outcome_of(repeated)
    assert answer["status"] == Status.PASS
    measured = rig.resource.store().latest("run_b_result", "nvidia", "org--toy")
    assert measured is not None and measured.reused_from_run, "what was finished is not measured again"
    report = rig.resource.store().latest("release_report", "nvidia", "org--toy")
    assert report is not None and report.run_id == answer["run"]
    assert_clean(rig)


def test_a_run_that_is_interrupted_ends_its_job_and_gives_the_devices_back(rig: Rig) -> None:
    rig.write_deployment()
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"
    sabotage(rig, "run_offline_inference", "run_a_result", stubborn)
    with release(rig) as interrupted:
        token = token_of_sabotaged_job(rig.folder, "run_offline_inference", "run_a_result")
        interrupted.send_signal(signal.SIGINT)
        began = time.monotonic()
        wait_for(lambda: not left_of(token), "the end of the job")
        assert time.monotonic() - began < 10
        interrupted.wait(30)
    assert_clean(rig)


def test_two_releases_on_one_worker_run_one_after_the_other_and_both_end_well(rig: Rig) -> None:
    rig.write_deployment()
    sabotage(rig, "collect_env_info", "install_status", "time.sleep(4)")
    with release(rig) as first:
        token_of_sabotaged_job(rig.folder, "collect_env_info", "install_status")
        with release(rig) as second:
            answers = [outcome_of(first)[0]]
            answer, lines = outcome_of(second)
    assert [one["status"] for one in (*answers, answer)] == [Status.PARTIAL] * 2
    waiting = [line for line in lines if "waiting for the devices" in line]
    assert waiting and f"held by run {answers[0]['run']}" in waiting[0]
    assert_clean(rig)


def test_a_release_that_cannot_wait_long_enough_fails_as_busy_and_names_the_holder(rig: Rig) -> None:
    rig.workers["cpu"]["timeouts"] = {"busy_s": 1}
    rig.write_deployment()
    sabotage(rig, "collect_env_info", "install_status", "time.sleep(30)")
    with release(rig) as first:
        token = token_of_sabotaged_job(rig.folder, "collect_env_info", "install_status")
        result = rig.run()
        assert left_of(token), "the job of the other release was touched"
        assert first.poll() is None
    assert result.status == Status.FAIL
    (error,) = rig.document(InstallStatus, "install_status").errors
    assert (error.layer, error.category, error.fatal, error.retryable) == ("X", "device_busy", True, True)
    assert "cpu all devices held by run " in error.cause and "wait for that run or cancel it" in error.cause
    assert result.report is not None and error.cause in result.report.conclusion
    assert rig.run(force=True).status == Status.PARTIAL, "the dead holder is not waited for"
    assert_clean(rig)


BROKEN = "workers: [this is no mapping"


@pytest.mark.parametrize("change", ["broken", "no such model"])
def test_a_deployment_that_changes_under_a_run_costs_only_the_steps_that_read_it(
    rig: Rig, change: str
) -> None:
    rig.write_deployment()
    content = rig.deployment_file.read_text()
    changed = BROKEN if change == "broken" else yaml.safe_dump({**yaml.safe_load(content), "models": []})
    code = f"pathlib.Path({str(rig.deployment_file)!r}).write_text({changed!r})"
    sabotage(rig, "test_serve_mode", "env_verification", code)
    result = rig.run()
    assert result.status in (Status.FAIL, Status.BLOCKED)
    if change == "broken":
        assert any("flagrelease.yaml: not readable as YAML" in message for _, message in rig.messages)
    rig.deployment_file.write_text(content)
    assert rig.document(InstallStatus, "install_status").status == Status.PASS, "what was finished stays"
    if change == "no such model":
        (error,) = rig.document(ModelSnapshot, "model_snapshot").errors
        assert error.category == "configuration"
        assert "add `- id: org/toy` under `models:`" in error.cause
        assert result.report is not None
    assert_clean(rig)
    assert rig.run().status == Status.PARTIAL, "with the file as it was, the release goes on"


def test_a_hub_that_is_down_is_a_network_error_that_was_tried_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = {
        "status": "FAIL",
        "problem": "network",
        "error": "ConnectionError: https://huggingface.co does not answer",
    }
    rig.answer({"prepare_model": {"default": {**HEALTHY_MODEL}, "org/hub": down}})
    rig.models = [{"id": "org/hub"}]
    result = rig.run(model="org/hub")
    found = rig.document(ModelSnapshot, "model_snapshot", model="org/hub")
    (error,) = found.errors
    assert (error.layer, error.component, error.category) == ("X", "network", "network")
    assert "does not answer" in error.cause
    assert [job.attempt for job in found.jobs] == [1, 2]
    assert result.report is not None and result.status == Status.FAIL
    assert isinstance(result.report, ReleaseReport) and "does not answer" in result.report.conclusion
    assert_clean(rig)


HEALTHY_MODEL = {
    "status": "PASS",
    "path": "/models/toy",
    "total_bytes": 1000,
    "weight_bytes": 900,
    "has_chat_template": True,
    "config": {"num_attention_heads": 4},
    "digest": "m1",
}
