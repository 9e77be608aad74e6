"""`benchmark_metrics`: the five profiles on the recommended stack, and on base too where full is recommended.

Belongs here: the step. Does not belong here: measuring and judging a profile
(`container_scripts/run_benchmark.py`, `benchmark_metrics.py`), profile sizes (the catalog).
"""

from __future__ import annotations

import json
from typing import Any

from flagrelease_assets.assets.release.model_runs import model_plan, run_settings, stack_environment
from flagrelease_assets.assets.release.phases import (
    PROGRAM_OVERHEAD_SECONDS,
    SERVER_LOG,
    RunPlan,
    engine_arguments,
    run_environment,
)
from flagrelease_assets.assets.release.scope import JobReport, StepScope
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream, blocked_by_absent
from flagrelease_assets.contracts import BenchmarkMetrics, ModelSnapshot, RecommendedStack
from flagrelease_assets.contracts.benchmark import AccuracySummary, BenchmarkRun, Performance
from flagrelease_assets.contracts.common import ErrorRecord, Stack, Status

THROUGHPUT = "throughput_tok_s"

# Scheduler limits of the benchmarked server, as the release pipeline has always measured; a model's or
# worker's own arguments come later on the command line and win.
SERVER_LIMITS = ("--max-num-batched-tokens", "4096", "--max-num-seqs", "256")


def _gate(upstream: Upstream) -> list[Blocker]:
    blockers = blocked_by_absent(upstream)
    recommended = upstream["recommended_stack"]
    if isinstance(recommended, RecommendedStack) and recommended.recommended_stack == Stack.NONE:
        blockers.append(Blocker("recommended_stack", "is none: the model cannot serve"))
    return blockers


def _recommended(scope: StepScope) -> Stack:
    return scope.upstream_document("recommended_stack", RecommendedStack).recommended_stack


def _settings(scope: StepScope) -> dict[str, Any]:
    stack = _recommended(scope)
    return {
        **run_settings(scope, stack),
        "stack": stack.value,
        "profiles": [profile.model_dump(mode="json") for profile in scope.catalog.profiles_for(scope.vendor)],
    }


def _perform(scope: StepScope) -> BenchmarkMetrics:
    stack = _recommended(scope)
    snapshot = scope.upstream_document("model_snapshot", ModelSnapshot)
    plan = model_plan(scope, stack_environment(scope, stack))
    report = _measure(scope, plan)
    errors = [report.error] if report.error else []
    performance = _performance(scope, report.document)
    base = None
    if stack == Stack.FULL:
        base_report = _measure(scope, model_plan(scope, stack_environment(scope, Stack.BASE)))
        base = _performance(scope, base_report.document)
        errors += [base_report.error] if base_report.error else []
    return scope.document(
        BenchmarkMetrics,
        status=performance.status,
        reason=_reason(performance, report.error),
        model_path=snapshot.path,
        tensor_parallel_size=snapshot.tensor_parallel_size,
        stack=stack,
        flags=plan.stack.flags,
        accuracy=AccuracySummary(reason="see accuracy_metrics"),
        performance=performance,
        base_performance=base,
        full_to_base_ratio=smallest_ratio(performance, base) if base else None,
        errors=errors,
    )


def _measure(scope: StepScope, plan: RunPlan) -> JobReport[BenchmarkRun]:
    """Serve the model and run every profile against it, under one deadline that covers them all."""
    profiles = scope.catalog.profiles_for(scope.vendor)
    timeouts = scope.timeouts
    deadline = timeouts.startup * 2 + len(profiles) * timeouts.benchmark_profile + PROGRAM_OVERHEAD_SECONDS
    arguments = [
        *("--model", plan.model_path),
        *("--tp", str(plan.tensor_parallel_size)),
        *("--stack", plan.stack.stack.value),
        *("--health-timeout", str(timeouts.startup)),
        *("--timeout", str(timeouts.benchmark_profile)),
        *("--profiles", "{job_dir}/profiles.json"),
        *("--output-dir", "{job_dir}/profiles"),
        *("--log", f"{{job_dir}}/{SERVER_LOG}"),
        *(f"--extra-arg={argument}" for argument in [*SERVER_LIMITS, *engine_arguments(scope, plan)]),
        *(["--trust-remote-code"] if plan.entry.trust_remote_code else []),
    ]
    return scope.run_job(
        f"benchmark-{plan.stack.stack.value}",
        "benchmark_stack",
        arguments,
        BenchmarkRun,
        deadline_s=deadline,
        idle_s=max(timeouts.startup_idle, timeouts.benchmark_profile),
        logs=(SERVER_LOG,),
        activity_paths=("{job_dir}/profiles",),
        env=run_environment(scope, plan),
        env_unset=plan.stack.absent,
        inputs={"profiles.json": json.dumps([profile.model_dump(mode="json") for profile in profiles])},
    )


def _performance(scope: StepScope, run: BenchmarkRun | None) -> Performance:
    expected = scope.catalog.profiles_for(scope.vendor)
    if run is None:
        return Performance(status=Status.FAIL, profiles_passed=f"0/{len(expected)}")
    full_sizes = {profile.name: profile.full_size for profile in expected}
    for profile in run.profiles:
        size = full_sizes.get(profile.name)
        profile.full_size = (
            size.model_dump(include={"input_len", "output_len", "num_prompts"}) if size else {}
        )
    return Performance(
        status=Status.FAIL if run.status == "TIMEOUT" else Status(run.status),
        profiles_passed=run.profiles_passed or f"0/{len(expected)}",
        profiles=run.profiles,
        summary_table=run.summary_table,
        startup_s=run.startup_s,
        server=run.server,
    )


def smallest_ratio(full: Performance, base: Performance) -> float | None:
    """Return the smallest full-to-base throughput ratio over the profiles; None if any point is missing."""
    on_base = {profile.name: profile.metrics.get(THROUGHPUT) for profile in base.profiles}
    ratios = []
    for profile in full.profiles:
        ours, theirs = profile.metrics.get(THROUGHPUT), on_base.get(profile.name)
        if not ours or not theirs:
            return None
        ratios.append(ours / theirs)
    return min(ratios) if ratios else None


def _reason(performance: Performance, error: ErrorRecord | None) -> str | None:
    if performance.status == Status.PASS:
        return None
    notes = [
        f"{profile.name}: {profile.error or '; '.join(profile.reasons) or profile.status}"
        for profile in performance.profiles
        if profile.status != "PASS"
    ]
    causes = [error.cause] if error and not notes else []
    return "; ".join([f"{performance.profiles_passed} profiles passed", *notes, *causes])


BENCHMARK_METRICS = Step(
    name="benchmark_metrics",
    kind=BenchmarkMetrics,
    description=(
        "Throughput, TTFT, TPOT and end-to-end latency of the five profiles on the recommended stack; on "
        "base as well where full is recommended, for the ratio."
    ),
    upstream=("install_status", "model_snapshot", "run_a_result", "run_b_result", "recommended_stack"),
    gate=_gate,
    perform=_perform,
    settings=_settings,
    kinds=("python", "json"),
)
