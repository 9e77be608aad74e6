"""No job is ended from outside while what it does is still within the limits it was given."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from container_scripts import (
    bench_client,
    collect_env_info,
    commands,
    detect_network,
    install_methods,
    openai_client,
    pip_settings,
    processes,
    vllm_server,
)
from container_scripts.catalog_data import vendor_probes
from container_scripts.failure_likeness import ERROR, Behaviour, Reference
from container_scripts.prompts import read_prompts
from flagrelease_assets.assets.release import benchmark, install, operators, phases
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.model_files import prepare_model
from flagrelease_assets.assets.release.phases import RunPlan
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import base_environment
from flagrelease_assets.catalog import load_catalog
from flagrelease_assets.deployment import Deployment, LocalWorkerEntry, ModelEntry
from flagrelease_assets.results.store import ResultStore

VENDORS = sorted(load_catalog().vendors)
MODEL = ModelEntry(id="org/model")
REPEATS = 3
END_OF_A_SERVER = vllm_server.PORT_CLOSING_LIMIT_S + processes.KILL_LIMIT_S


@dataclass
class RecordedJob:
    """What a step asked of a job: the flags as the program itself understands them, and its limits."""

    flags: argparse.Namespace
    deadline_s: float
    idle_s: float
    inputs: dict[str, str]


@dataclass
class RecordingScopeDouble(StepScope):
    """A scope that keeps what a step asks for and runs nothing; faithful in everything else."""

    recorded: dict[str, RecordedJob] = field(default_factory=dict)

    def run_job(self, name: str, program: str, arguments: list[str], kind: Any, **asked: Any) -> Any:
        parser = importlib.import_module(f"container_scripts.{program}").build_parser()
        parser.add_argument("--output")
        flags, deadline_s = parser.parse_args(arguments), asked["deadline_s"]
        idle_s = asked.get("idle_s") or deadline_s
        self.recorded[program] = RecordedJob(flags, deadline_s, idle_s, asked.get("inputs", {}))
        return JobReport(outcome=None, document=None, error=None)  # type: ignore[arg-type]  # nothing ran


@pytest.fixture(params=VENDORS)
def scope(request: pytest.FixtureRequest, tmp_path: Path) -> RecordingScopeDouble:
    vendor: str = request.param
    entry = LocalWorkerEntry(work_root=str(tmp_path / "worker"), benchmark_repeats=REPEATS)
    deployment = Deployment(workers={vendor: entry}, models=[MODEL])
    return RecordingScopeDouble(
        step="install_status",
        vendor=vendor,
        model=MODEL.key,
        run_id="r",
        load_deployment=lambda: deployment,
        store=ResultStore(str(tmp_path / "results")),
        upstream={},
        emit=lambda line: None,
    )


def of_commands(*limits_s: float) -> float:
    """Return how long commands may take that all reach their limit and ignore TERM."""
    return sum(limit + commands.GRACE_SECONDS + processes.KILL_LIMIT_S for limit in limits_s)


def asked_of_pip() -> float:
    return of_commands(*[pip_settings.QUERY_TIMEOUT_S] * 3)


def plan() -> RunPlan:
    return RunPlan("/models/m", MODEL, 1, base_environment("no_plugin", None))


def test_every_tool_that_is_asked_for_facts_may_reach_its_own_limit(scope: RecordingScopeDouble) -> None:
    install.INSTALL_STATUS.perform(scope)
    tools = [probe.timeout_s for probes in vendor_probes().values() for probe in probes]
    facts = of_commands(collect_env_info.TORCH_TIMEOUT_S, *tools) + asked_of_pip()
    assert scope.recorded["collect_env_info"].deadline_s > facts


def test_every_address_may_stay_silent(scope: RecordingScopeDouble) -> None:
    install.INSTALL_STATUS.perform(scope)
    job = scope.recorded["detect_network"]
    addresses = 1 + 1 + detect_network.MAX_SOURCES + 1
    silent = addresses * detect_network.probe_limit(job.flags.timeout)
    assert job.deadline_s > asked_of_pip() + silent


def test_an_installation_may_use_all_its_time_and_still_be_proven(scope: RecordingScopeDouble) -> None:
    install.INSTALL_STATUS.perform(scope)
    job = scope.recorded["install_package"]
    assert job.deadline_s > of_commands(job.flags.timeout, install_methods.IMPORT_TIMEOUT_S)


def test_every_package_and_torch_may_take_the_limit_of_an_import(scope: RecordingScopeDouble) -> None:
    install.INSTALL_STATUS.perform(scope)
    job = scope.recorded["validate_packages"]
    imports = len(json.loads(job.inputs["plan.json"])) + 1
    assert job.flags.import_timeout == scope.timeouts.validate_package
    assert job.deadline_s > of_commands(*[job.flags.import_timeout] * imports)


def test_a_download_may_use_all_its_time_but_not_stand_still(scope: RecordingScopeDouble) -> None:
    prepare_model(scope, MODEL)
    job = scope.recorded["prepare_model"]
    assert job.deadline_s > of_commands(job.flags.timeout)
    assert job.idle_s == scope.timeouts.model_download_idle < job.flags.timeout


def test_an_offline_run_ends_itself_before_it_is_ended(scope: RecordingScopeDouble) -> None:
    phases.run_offline(scope, plan())
    job = scope.recorded["run_offline_inference"]
    assert job.flags.timeout >= scope.timeouts.startup + scope.timeouts.request
    assert job.deadline_s > job.flags.timeout + 10 + processes.KILL_LIMIT_S


def test_a_server_may_start_late_answer_each_prompt_late_and_stop_late(scope: RecordingScopeDouble) -> None:
    phases.run_serve(scope, plan())
    job = scope.recorded["test_serve_mode"]
    flags, prompts = job.flags, len(read_prompts(job.flags.prompts))
    asking = prompts * flags.request_timeout + vllm_server.LAST_BREATH_S
    assert flags.stop_grace == scope.timeouts.stop_grace
    assert job.deadline_s > flags.health_timeout + asking + flags.stop_grace + END_OF_A_SERVER
    assert job.idle_s > flags.request_timeout


def test_two_servers_and_every_wait_of_every_measurement_fit(scope: RecordingScopeDouble) -> None:
    benchmark._measure(scope, plan())
    job = scope.recorded["benchmark_stack"]
    flags, profiles = job.flags, len(json.loads(job.inputs["profiles.json"]))
    stop = vllm_server.LAST_BREATH_S + flags.stop_grace + END_OF_A_SERVER
    client = flags.timeout + bench_client.CLIENT_GRACE_S + processes.KILL_LIMIT_S
    endpoint = warm_up = flags.timeout
    questions = 5 * openai_client.PROBE_TIMEOUT_S
    measurements = profiles * REPEATS * (endpoint + warm_up + client + questions)
    assert (flags.stop_grace, flags.repeats) == (scope.timeouts.stop_grace, REPEATS)
    assert job.deadline_s > 2 * (flags.health_timeout + stop) + endpoint + measurements
    assert job.idle_s > flags.timeout


def test_the_budget_of_a_release_covers_every_job_that_its_steps_ask_for(scope: RecordingScopeDouble) -> None:
    install.INSTALL_STATUS.perform(scope)
    prepare_model(scope, MODEL)
    phases.run_phases(scope, plan())
    benchmark._measure(scope, plan())
    operators.search_operators(
        scope, operators.Question(plan(), "offline", Reference([]), Behaviour(ERROR), ran=[])
    )
    asked = {program: job.deadline_s for program, job in scope.recorded.items()}
    budget = scope.budget
    phases_s = asked["run_offline_inference"] + asked["test_serve_mode"]
    attempts = 1 + scope.worker_entry.retries
    assert budget.steps["install_status"] >= attempts * (
        asked["collect_env_info"]
        + asked["detect_network"]
        + asked["validate_packages"]
        + asked["install_package"]
    )
    assert budget.steps["model_snapshot"] == attempts * asked["prepare_model"]
    assert budget.steps["run_a_result"] == budget.steps["run_b_result"] == attempts * phases_s
    assert budget.steps["env_verification"] >= attempts * (asked["prepare_model"] + phases_s)
    searches = 2 * (asked["search_operators"] + max(asked["run_offline_inference"], asked["test_serve_mode"]))
    assert budget.steps["diff_analysis"] >= attempts * (4 * asked["run_offline_inference"] + searches)
    assert budget.steps["benchmark_metrics"] == attempts * 2 * asked["benchmark_stack"]
