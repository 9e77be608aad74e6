"""No limit can be switched off, and the sum of all of them is known before a release starts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from container_scripts.job_files import JobDirectory
from flagrelease_assets.assets.release.budget import Budget, budget_of, in_words
from flagrelease_assets.deployment import DeploymentError, load_deployment
from flagrelease_assets.workers.config import WorkerTimeouts
from flagrelease_assets.workers.job_models import JobSpec
from tests.faults.machinery import toy
from tests.integration.rig import Rig

SWITCHED_OFF = (0, -1, math.inf, -math.inf, math.nan, None, "never", 1e12)


@pytest.mark.parametrize("limit", WorkerTimeouts.model_fields)
@pytest.mark.parametrize("value", SWITCHED_OFF)
def test_no_limit_of_an_operation_can_be_switched_off(limit: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        WorkerTimeouts.model_validate({limit: value})


@pytest.mark.parametrize("written", ["0", "-5", ".inf", ".nan", "null", "1.0e+12", "never"])
def test_a_deadline_that_is_none_is_refused_in_the_file_with_its_key(tmp_path: Path, written: str) -> None:
    file = tmp_path / "flagrelease.yaml"
    file.write_text(f"workers: {{cpu: {{kind: local, deadlines: {{startup: {written}}}}}}}")
    with pytest.raises(DeploymentError, match=r"flagrelease.yaml: workers.cpu.deadlines.startup: "):
        load_deployment(file)


@pytest.mark.parametrize("limit", ["deadline_s", "idle_s", "lease_s"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, None])
def test_no_limit_of_a_job_can_be_switched_off(limit: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        toy("pass", **{limit: value})
    assert JobSpec.model_fields[limit].annotation is float


@pytest.mark.parametrize("limit", ["deadline_s", "idle_s", "grace_s", "lease_s"])
@pytest.mark.parametrize("value", ["Infinity", "NaN", "-1"])
def test_the_worker_itself_refuses_a_job_without_limits(tmp_path: Path, limit: str, value: str) -> None:
    job = {"argv": ["true"], "deadline_s": 1, "idle_s": 1, "grace_s": 1, "lease_s": 1, "run_token": "t"}
    text = json.dumps(job).replace(f'"{limit}": 1', f'"{limit}": {value}')
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(ValueError, match="all finite"):
        JobDirectory(str(tmp_path)).job()


def test_the_longest_that_the_jobs_of_a_release_may_run_is_said_before_it_starts(rig: Rig) -> None:
    rig.run(job="install")
    said = [message for step, message in rig.messages if step == "install_status"]
    (line,) = [message for message in said if "of jobs (the sum of their deadlines" in message]
    assert line.startswith("this release needs its worker for at most ")
    assert said.index(line) < next(n for n, message in enumerate(said) if ": started " in message)


def test_checking_a_worker_says_the_longest_release_and_who_holds_the_devices(rig: Rig) -> None:
    rig.workers["cpu"]["retries"] = 0
    rig.write_deployment()
    argv = ["-m", "flagrelease_assets.cli", "worker", "check", "cpu", "--json", "--deployment"]
    done = subprocess.run(
        [sys.executable, *argv, str(rig.deployment_file)], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    longest = answer["longest_release_s"]
    assert longest["total"] == sum(limit for step, limit in longest.items() if step != "total")
    assert answer["holders"] == []


def test_more_attempts_and_longer_deadlines_make_the_budget_longer(rig: Rig) -> None:
    def total(**worker: Any) -> float:
        rig.workers["cpu"] = {**rig.new_worker("cpu"), **worker}
        rig.deployment_file.write_text(yaml.safe_dump({"workers": rig.workers}))
        deployment = load_deployment(rig.deployment_file)
        catalog = deployment.catalog
        return budget_of(
            catalog.vendors["cpu"],
            deployment.worker("cpu"),
            profiles=len(catalog.profiles_for("cpu")),
            probes_s=catalog.probe_limits,
        ).total_s

    once = total(retries=0)
    assert total(retries=1) == 2 * once
    assert total(retries=0, deadlines={"startup": 3600}) > once
    assert total(retries=0, benchmark_repeats=3) > once


def test_a_budget_is_said_in_words_and_claims_no_more_than_it_counts() -> None:
    assert str(Budget({"a": 3600.0, "b": 120.0}, attempts=2)) == (
        "at most 1 h 2 min of jobs (the sum of their deadlines, every job tried 2 times); "
        "waiting for devices or for the worker itself comes on top"
    )
    assert in_words(90_060) == "1 d 1 h 1 min"
    assert in_words(1) == "less than 1 min"
