"""`benchmark_metrics`: five profiles on the recommended stack, for the ratio on base too if it is not base.

Belongs here: the step. Does not belong here: measuring and judging a profile
(`container_scripts/run_benchmark.py`, `benchmark_metrics.py`), profile sizes (the catalog).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from container_scripts.server_config import configuration_differences
from flagrelease_assets.assets.release.budget import benchmark_deadline
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.model_runs import model_plan, run_settings, stack_environment
from flagrelease_assets.assets.release.phases import (
    SERVER_LOG,
    RunPlan,
    engine_arguments,
    job_environment,
)
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream, blocked_by_absent
from flagrelease_assets.contracts import BenchmarkMetrics, ModelSnapshot, RecommendedStack
from flagrelease_assets.contracts.benchmark import (
    AccuracySummary,
    BenchmarkDoubt,
    BenchmarkRun,
    DoubtKind,
    Performance,
)
from flagrelease_assets.contracts.common import ErrorRecord, Stack, Status
from flagrelease_assets.regression import too_slow

THROUGHPUTS = ("throughput_tok_s", "total_tok_s")

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
        "repeats": scope.worker_entry.benchmark_repeats,
        "profiles": [profile.model_dump(mode="json") for profile in scope.catalog.profiles_for(scope.vendor)],
    }


def _perform(scope: StepScope) -> BenchmarkMetrics:
    stack = _recommended(scope)
    snapshot = scope.upstream_document("model_snapshot", ModelSnapshot)
    plan = model_plan(scope, stack_environment(scope, stack))
    report = _measure(scope, plan)
    errors = [report.error] if report.error else []
    performance = _performance(scope, report.document)
    doubts = [*_why_not_pass(performance, report.error), *_doubts(scope, report.document)]
    base, ratios, limits = None, {}, []
    if stack in (Stack.FULL, Stack.REDUCED):
        base_report = _measure(scope, model_plan(scope, stack_environment(scope, Stack.BASE)))
        base = _performance(scope, base_report.document)
        errors += [base_report.error] if base_report.error else []
        ratios, limits = throughput_ratios(performance, base), ratio_limits(stack, performance, base)
        doubts += [
            *_doubts(scope, base_report.document),
            *not_passed_on_base(base),
            *_of_kind(DoubtKind.TOO_SLOW, too_slow(ratios)),
            *without_ratio(stack, performance, ratios),
        ]
    return scope.document(
        BenchmarkMetrics,
        status=Status.PARTIAL if doubts and performance.status == Status.PASS else performance.status,
        reason="; ".join([*(doubt.text for doubt in doubts), *limits]) or None,
        model_path=snapshot.path,
        tensor_parallel_size=snapshot.tensor_parallel_size,
        stack=stack,
        flags=plan.stack.flags,
        accuracy=AccuracySummary(reason="see accuracy_metrics"),
        performance=performance,
        base_performance=base,
        ratios=ratios,
        full_to_base_ratio=min(ratios.values(), default=None),
        ratio_note="; ".join(limits) or None,
        doubts=doubts,
        errors=errors,
    )


def _measure(scope: StepScope, plan: RunPlan) -> JobReport[BenchmarkRun]:
    """Serve the model and run every profile against it, under one deadline that covers them all."""
    profiles = scope.catalog.profiles_for(scope.vendor)
    timeouts = scope.timeouts
    repeats = scope.worker_entry.benchmark_repeats
    arguments = [
        *("--model", plan.model_path),
        *("--tp", str(plan.tensor_parallel_size)),
        *("--stack", plan.stack.stack.value),
        *("--health-timeout", str(timeouts.startup)),
        *("--timeout", str(timeouts.benchmark_profile)),
        *("--stop-grace", str(timeouts.stop_grace)),
        *("--repeats", str(repeats)),
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
        deadline_s=benchmark_deadline(timeouts, len(profiles), repeats),
        uses_devices=True,
        idle_s=timeouts.benchmark_idle,
        logs=(SERVER_LOG,),
        activity_paths=("{job_dir}/profiles",),
        env=job_environment(scope, plan),
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


def throughput_ratios(measured: Performance, base: Performance) -> dict[str, float]:
    """Return the ratio to base of each profile that passed on both: the smaller of both throughputs'.

    A server that lost requests is measured on the others, so its figures would flatter the other stack.
    """
    on_base = _passed(base)
    ratios = {}
    for profile, metrics in _passed(measured).items():
        points = [(metrics.get(name), on_base.get(profile, {}).get(name)) for name in THROUGHPUTS]
        found = [ours / theirs for ours, theirs in points if ours is not None and theirs]
        if found:
            ratios[profile] = min(found)
    return ratios


def _passed(performance: Performance) -> dict[str, dict[str, float | int | None]]:
    return {profile.name: profile.metrics for profile in performance.profiles if profile.status == "PASS"}


def not_passed_on_base(base: Performance) -> list[BenchmarkDoubt]:
    """Return a doubt for each profile that base did not pass although it is applicable."""
    return _of_kind(
        DoubtKind.BASE_PROFILE_NOT_PASSED,
        (
            f"base: profile {profile.name} is {profile.status}: {profile.why_not_passed}"
            for profile in base.profiles
            if profile.status not in ("PASS", "SKIPPED")
        ),
    )


def without_ratio(stack: Stack, measured: Performance, ratios: Mapping[str, float]) -> list[BenchmarkDoubt]:
    """Return what is to be said of profiles that passed on the measured stack and have no ratio."""
    missing = ", ".join(name for name in _passed(measured) if name not in ratios)
    return _of_kind(DoubtKind.NO_RATIO, [f"no {stack}/base ratio for {missing}"] if missing else [])


def _of_kind(kind: DoubtKind, texts: Iterable[str]) -> list[BenchmarkDoubt]:
    return [BenchmarkDoubt(kind=kind, text=text) for text in texts]


def _doubts(scope: StepScope, run: BenchmarkRun | None) -> list[BenchmarkDoubt]:
    """Return what makes a measurement doubtful although its profiles may have passed.

    That is a profile that is expected and not there, a stack without evidence that it was active, and a
    server that left processes behind.
    """
    from container_scripts.run_documents import inactive_parts, read_run

    if run is None:
        return []
    document = run.model_dump()
    there = {profile.name for profile in run.profiles}
    absent = [
        profile.name for profile in scope.catalog.profiles_for(scope.vendor) if profile.name not in there
    ]
    keys = ("stack_requested", "stack_observed")
    seen = {"status": "PASS", **{key: document[key] for key in keys if key in document}}
    orphans = (run.server.get("stop") or {}).get("orphans")
    inactive = inactive_parts(read_run(seen, scope.step))
    left = [f"the server left processes behind: {orphans}"] if orphans else []
    return [
        *_of_kind(DoubtKind.PROFILE_NOT_MEASURED, [f"not measured: {', '.join(absent)}"] if absent else []),
        *_of_kind(DoubtKind.STACK_INACTIVE, (f"{component}: {what}" for component, what in inactive)),
        *_of_kind(DoubtKind.PROCESSES_LEFT, left),
    ]


def ratio_limits(stack: Stack, measured: Performance, base: Performance) -> list[str]:
    """Return what limits the ratios: servers that differ beyond the stack, profiles of one stack only."""
    good = [
        {name for name, metrics in _passed(one).items() if any(metrics.get(key) for key in THROUGHPUTS)}
        for one in (measured, base)
    ]
    alone = ", ".join(sorted(good[0] ^ good[1]))
    ours, theirs = (one.server.get("effective_config") for one in (measured, base))
    if bool(ours) != bool(theirs):
        differences = ["the effective configuration is known of one of them only"]
    else:
        differences = configuration_differences(ours or {}, theirs or {})
    limits = [f"the servers of {stack} and base differ: {'; '.join(differences)}"] if differences else []
    return limits + ([f"no ratio for {alone}: good figures on one stack only"] if alone else [])


def _why_not_pass(performance: Performance, error: ErrorRecord | None) -> list[BenchmarkDoubt]:
    said = performance.not_passed
    told = any(profile.status != "PASS" for profile in performance.profiles)
    failed = [error.cause] if said and error and not told else []
    return [*said, *_of_kind(DoubtKind.MEASUREMENT_FAILED, failed)]


BENCHMARK_METRICS = Step(
    name="benchmark_metrics",
    kind=BenchmarkMetrics,
    description=(
        "Throughput, TTFT, TPOT and end-to-end latency of the five profiles on the recommended stack; on "
        "base as well where full or reduced is recommended, for the ratio."
    ),
    upstream=(
        "install_status",
        "env_verification",
        "model_snapshot",
        "run_a_result",
        "run_b_result",
        "recommended_stack",
    ),
    gate=_gate,
    perform=_perform,
    settings=_settings,
    kinds=("python", "json"),
)
