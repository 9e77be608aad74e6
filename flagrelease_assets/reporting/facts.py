"""What the documents say, as rows for tables: packages, profiles, versions, environment, samples, logs.

Belongs here: taking rows out of the documents, the same for Markdown, HTML and the terminal.
Does not belong here: markup, judgement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flagrelease_assets.contracts import ModelRun, ReleaseReport
from flagrelease_assets.contracts.benchmark import ProfileResult
from flagrelease_assets.contracts.common import ErrorRecord, Layer
from flagrelease_assets.contracts.install import EnvironmentFacts, PackageResult
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.reporting.documents import ReleaseDocuments
from flagrelease_assets.reporting.text import ABSENT, byte_size, moment, number, value_text

LAYERS: dict[Layer, str] = {
    "4": "multi-chip",
    "3": "model and serving",
    "2": "engine",
    "1": "Python and torch",
    "0": "device and driver",
    "X": "harness: network, disk, time limits, ports",
}
"""The layers from the top of the stack down, and the harness that stands beside it."""

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Fact:
    """A named value."""

    name: str
    value: str


@dataclass(frozen=True)
class PackageRow:
    """One package of the stack; ``required`` says that the release stops without it."""

    name: str
    status: str
    version: str
    provider: str
    commit: str
    required: str
    reason: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProfileRow:
    """One benchmark profile: lengths in tokens, latencies in milliseconds, throughputs per second."""

    name: str
    status: str
    size: str
    full_size: str | None
    requests_per_s: float | None
    tokens_per_s: float | None
    ttft_mean_ms: float | None
    ttft_p99_ms: float | None
    tpot_mean_ms: float | None
    tpot_p99_ms: float | None
    latency_p99_ms: float | None
    reason: str


@dataclass(frozen=True)
class Sample:
    """What a run answered, or why there is no answer."""

    run: str
    stack: str
    status: str
    prompt: str | None
    answer: str | None
    reason: str


@dataclass(frozen=True)
class VersionRow:
    """The version of one component as each run saw it."""

    name: str
    run_a: str
    run_b: str


@dataclass(frozen=True)
class LogRow:
    """One program of a step: how it ended, and where its log is kept."""

    step: str
    job: str
    program: str
    ended: str
    seconds: float
    log: str


def facts_of(values: Mapping[str, Any]) -> list[Fact]:
    """Return any mapping as named values."""
    return [Fact(name.replace("_", " "), value_text(value)) for name, value in values.items()]


def package_rows(release: ReleaseDocuments) -> list[PackageRow]:
    """Return the packages of the install step, or what the report kept of them."""
    if release.install and release.install.packages:
        return [_package_row(name, package) for name, package in release.install.packages.items()]
    return [
        PackageRow(
            name=name,
            status=package.get("status") or "MISSING",
            version=package.get("version") or ABSENT,
            provider=package.get("provider") or ABSENT,
            commit=package.get("commit") or ABSENT,
            required=ABSENT,
            reason=package.get("reason") or "",
        )
        for name, package in release.report.steps.install_stack.packages.items()
    ]


def _package_row(name: str, package: PackageResult) -> PackageRow:
    return PackageRow(
        name=name,
        status=package.status,
        version=package.version or ABSENT,
        provider=package.provider or ABSENT,
        commit=(package.commit or ABSENT)[:12],
        required="required" if package.gate else "optional",
        reason=package.reason or (package.action or "").replace("_", " "),
        changed=tuple(
            f"{change.name} {change.before or 'absent'} → {change.after or 'absent'}"
            for change in package.changed
        ),
    )


def profile_results(release: ReleaseDocuments) -> list[ProfileResult]:
    """Return the profiles of the benchmark step, or what the report kept of them."""
    if release.benchmark and release.benchmark.performance.profiles:
        return release.benchmark.performance.profiles
    return reported_profiles(release.report)


def reported_profiles(report: ReleaseReport) -> list[ProfileResult]:
    """Return the profiles that the report itself carries; one that cannot be read is a failed one."""
    return [_read_profile(index, item) for index, item in enumerate(report.performance_profiles, 1)]


def _read_profile(index: int, item: Mapping[str, Any]) -> ProfileResult:
    try:
        return ProfileResult.model_validate(item)
    except ValidationError as error:
        return ProfileResult(
            name=str(item.get("name") or f"profile {index}"),
            input_len=0,
            output_len=0,
            num_prompts=0,
            status="FAIL",
            reasons=[f"the stored record cannot be read: {error.error_count()} fields are wrong"],
        )


def profile_rows(profiles: Iterable[ProfileResult]) -> list[ProfileRow]:
    """Return the profiles as rows of figures."""
    return [_profile_row(profile) for profile in profiles]


def _profile_row(profile: ProfileResult) -> ProfileRow:
    full = profile.full_size
    return ProfileRow(
        name=profile.name,
        status=profile.status,
        size=_size(profile.input_len, profile.output_len, _requests(profile)),
        full_size=_size(*(full.get(key) for key in ("input_len", "output_len", "num_prompts")))
        if full
        else None,
        requests_per_s=metric(profile, "throughput_req_s"),
        tokens_per_s=metric(profile, "throughput_tok_s"),
        ttft_mean_ms=metric(profile, "ttft_mean_ms"),
        ttft_p99_ms=metric(profile, "ttft_p99_ms"),
        tpot_mean_ms=metric(profile, "tpot_mean_ms"),
        tpot_p99_ms=metric(profile, "tpot_p99_ms"),
        latency_p99_ms=metric(profile, "latency_p99_ms"),
        reason="; ".join(profile.reasons) or profile.error or "",
    )


def _requests(profile: ProfileResult) -> int | str:
    """Return the number of requests, and of how many of them the figures are if not of all."""
    completed = metric(profile, "completed_requests")
    if completed is None or completed == profile.num_prompts:
        return profile.num_prompts
    return f"{completed:.0f} of {profile.num_prompts}"


def against_base(release: ReleaseDocuments) -> str:
    """Return in a sentence or two how fast a stack is against base; "" if only one stack was measured."""
    benchmark = release.benchmark
    if benchmark is None or benchmark.full_to_base_ratio is None:
        return ""
    ratios = "; ".join(f"{name} {number(ratio)}" for name, ratio in benchmark.ratios.items())
    smallest = f"Throughput of {benchmark.stack} to base: smallest {number(benchmark.full_to_base_ratio)}"
    said = f"{smallest} ({ratios})." if ratios else f"{smallest}."
    return f"{said} To be read with care: {benchmark.ratio_note}." if benchmark.ratio_note else said


def _size(input_len: int | None, output_len: int | None, prompts: int | str | None) -> str:
    return f"{value_text(input_len)} → {value_text(output_len)} × {value_text(prompts)}"  # noqa: RUF001 (a product)


def metric(profile: ProfileResult, name: str) -> float | None:
    """Return a figure of a profile; one that is not a finite number counts as absent."""
    value = profile.metrics.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def samples(release: ReleaseDocuments) -> list[Sample]:
    """Return one answer of each run, side by side."""
    return [
        _sample("Run A", "base", release.run_a),
        _sample("Run B", "full", release.run_b),
    ]


def _sample(label: str, stack: str, run: ModelRun | None) -> Sample:
    if run is None:
        return Sample(label, stack, "MISSING", None, None, "no result of this run is stored")
    prompt, answer = next(
        ((str(item.get("prompt") or "") or None, str(item["text"])) for item in answers(run)),
        (None, run.output_sample),
    )
    missing = "" if answer else run.reason or "the model produced no text"
    return Sample(label, run.stack, run.status, prompt, answer, missing)


def answers(run: ModelRun) -> list[dict[str, Any]]:
    """Return the answers of a run that have text: of its offline engine, then of its server."""
    phases = [phase for phase in (run.phase_a_offline, run.phase_b_serve) if phase]
    return [item for phase in phases for item in [*phase.outputs, *phase.requests] if item.get("text")]


def version_rows(release: ReleaseDocuments) -> list[VersionRow]:
    """Return the versions that each run saw, so that a difference between the runs is visible."""
    run_a, run_b = (_versions(run) for run in (release.run_a, release.run_b))
    return [
        VersionRow(name, value_text(run_a.get(name)), value_text(run_b.get(name)))
        for name in dict.fromkeys([*run_a, *run_b])
    ]


def _versions(run: ModelRun | None) -> dict[str, Any]:
    phases: list[PhaseDocument | None] = [run.phase_a_offline, run.phase_b_serve] if run else []
    return next((phase.versions for phase in phases if phase and phase.versions), {})


def release_facts(release: ReleaseDocuments) -> list[Fact]:
    """Return what was released, with what, when, and where."""
    report, snapshot = release.report, release.snapshot
    remote_code = value_text(snapshot.trust_remote_code) if snapshot else ABSENT
    return [
        Fact("vendor", report.vendor),
        Fact("model", report.model),
        Fact("model revision", report.model_revision or ABSENT),
        Fact("model path", report.model_path or ABSENT),
        Fact("model size", byte_size(snapshot.bytes) if snapshot and snapshot.bytes else ABSENT),
        Fact("remote code trusted", remote_code),
        Fact("stack release", report.stack_release or ABSENT),
        Fact("tensor parallel size", str(report.tensor_parallel_size)),
        Fact("run", report.run_id),
        Fact("measured", moment(report.created_at)),
    ]


def environment_facts(release: ReleaseDocuments) -> list[Fact]:
    """Return the worker and the machine it is on."""
    install = release.install
    worker = next(
        (step.worker for step in (install, release.run_a, release.report) if step and step.worker), None
    )
    found = [Fact("container", release.report.container)] if release.report.container else []
    if worker:
        found += facts_of(
            {
                "worker": f"{worker.kind} {worker.name}",
                **worker.model_dump(
                    include={"engine", "image", "image_id", "container_id"}, exclude_none=True
                ),
                "interpreter": f"{worker.python.executable} ({'.'.join(map(str, worker.python.version))})",
            }
        )
    if install:
        found += [
            Fact("Python", install.python_version or ABSENT),
            Fact("glibc", install.glibc_version or ABSENT),
        ]
    if install and install.environment:
        found += _machine_facts(install.environment)
    return found


def _machine_facts(machine: EnvironmentFacts) -> list[Fact]:
    extra = machine.model_extra or {}
    devices = "; ".join(
        device.name + (f" ({byte_size(device.memory_total_mb * MEBIBYTE)})" if device.memory_total_mb else "")
        for device in machine.devices
    )
    memory = byte_size(machine.memory_total_mb * MEBIBYTE) if machine.memory_total_mb else ABSENT
    shared = byte_size(machine.shm_total_mb * MEBIBYTE) if machine.shm_total_mb else ABSENT
    return [
        Fact("devices", devices or "none found"),
        Fact("driver", value_text(extra.get("driver"))),
        Fact("kernel", value_text(extra.get("kernel"))),
        Fact("architecture", machine.arch or ABSENT),
        Fact("CPU cores", value_text(machine.cpu_count)),
        Fact("memory", memory),
        Fact("shared memory", shared),
        Fact(
            "free disk", f"{number(machine.disk_free_gb)} GB" if machine.disk_free_gb is not None else ABSENT
        ),
    ]


def log_rows(release: ReleaseDocuments) -> list[LogRow]:
    """Return every program that ran in the worker, with the place of its log."""
    return [
        LogRow(
            document.step,
            job.name,
            job.program,
            _ending(job.ended_by, job.exit_code, job.signal),
            job.duration_s,
            ", ".join(job.logs) or ABSENT,
        )
        for document in release.by_step.values()
        for job in document.jobs
    ]


def _ending(ended_by: str, exit_code: int | None, signal: int | None) -> str:
    detail = f"signal {signal}" if signal else f"code {exit_code}" if exit_code is not None else ""
    return f"{ended_by} {detail}".strip()


def errors_by_layer(errors: Iterable[ErrorRecord]) -> dict[Layer, list[ErrorRecord]]:
    """Return the errors under their layers, top of the stack first; a layer without errors is empty."""
    listed = list(errors)
    return {layer: [error for error in listed if error.layer == layer] for layer in LAYERS}
