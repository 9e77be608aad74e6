"""Documents of a release for the reporting tests: a full one that passes, and parts to vary."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
    StepDocument,
)
from flagrelease_assets.contracts.benchmark import Performance, ProfileResult
from flagrelease_assets.contracts.common import ErrorRecord, Evidence, JobRecord, Stack, Status
from flagrelease_assets.contracts.comparison import DiffSummary
from flagrelease_assets.contracts.install import Device, EnvironmentFacts, PackageChange, PackageResult
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.report import (
    EnvSummary,
    InstallSummary,
    ModelVerifySummary,
    PerfSummary,
    ReportSteps,
    StepLine,
)
from flagrelease_assets.contracts.worker import PythonFacts, WorkerIdentity

MEASURED = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "vendor": "nvidia",
    "model": "Qwen--Qwen2.5-7B-Instruct",
    "run_id": "5d41402a",
    "created_at": MEASURED,
}
PROFILES = {
    "short_prefill_short_decode": (256, 128, 100, 18.4, 2355.2, 61.2, 148.0, 8.1, 12.4, 1190.0),
    "long_prefill_short_decode": (4096, 128, 100, 6.1, 780.8, 412.5, 1180.0, 14.9, 31.7, 3020.0),
    "short_prefill_long_decode": (256, 1024, 100, 3.9, 3993.6, 63.8, 160.4, 7.7, 9.9, 10250.0),
    "long_prefill_long_decode": (4096, 1024, 100, 2.2, 2252.8, 430.1, 1302.0, 12.6, 19.8, 14890.0),
    "high_concurrency": (1024, 512, 500, 9.7, 4966.4, 803.0, 3920.0, 21.3, 44.0, 19770.0),
}


def error(**changes: Any) -> ErrorRecord:
    values: dict[str, Any] = {
        "step": "run_b_result",
        "phase": "serve",
        "layer": "4",
        "component": "FlagGems",
        "category": "operator_failed",
        "cause": "RuntimeError: Triton kernel rms_norm_kernel failed to compile for sm_90",
        "evidence": [
            Evidence(
                source="serve.log", line=412, text="File flag_gems/ops/rms_norm.py, line 88, in rms_norm"
            ),
            Evidence(source="serve.log", line=413, text="RuntimeError: Triton kernel rms_norm_kernel failed"),
        ],
        "fatal": True,
    }
    return ErrorRecord(**{**values, **changes})


def phase(name: str, text: str = "Paris. It is the largest city.", **changes: Any) -> PhaseDocument:
    answer = {
        "prompt_id": "capital",
        "kind": "completion",
        "prompt": "The capital of France is",
        "text": text,
    }
    values: dict[str, Any] = {
        "status": "PASS",
        "phase": name,
        "stage_reached": "done",
        "duration_s": 92.4,
        "startup_s": 71.3,
        "stack_observed": {"plugins_loaded": ["fl"], "flaggems_ops": 37, "triton_provider": "flagtree"},
        "versions": {"python": "3.11.9", "vllm": "0.13.0", "torch": "2.9.0+cu128", "triton": "3.5.0"},
        "outputs": [{**answer, "finish_reason": "length"}],
        "checks": {
            "non_empty": {"ok": True, "detail": "5 of 5 answers have text"},
            "anchor": {"ok": None, "detail": "no prompt has a known answer"},
        },
    }
    return PhaseDocument.model_validate({**values, **changes})


def model_run(step: str, **changes: Any) -> ModelRun:
    full = step == "run_b_result"
    values: dict[str, Any] = {
        **COMMON,
        "step": step,
        "status": Status.PASS,
        "stack": Stack.FULL if full else Stack.BASE,
        "flags": {
            "VLLM_PLUGINS": "fl" if full else "",
            "USE_FLAGGEMS": "1" if full else "0",
            "FLAGCX_PATH": None,
        },
        "phase_a_offline": phase("offline"),
        "phase_b_serve": phase("serve"),
        "duration_s": 204.0,
        "jobs": [job(step, "offline"), job(step, "serve")],
    }
    return ModelRun(**{**values, **changes})


def job(step: str, name: str) -> JobRecord:
    return JobRecord(
        name=name,
        program="run_offline_inference" if name == "offline" else "test_serve_mode",
        ended_by="exited",
        exit_code=0,
        duration_s=92.4,
        deadline_s=1800,
        logs=[f"logs/nvidia/5d41402a/{step}/{name}.log"],
    )


def profile(key: str, **changes: Any) -> ProfileResult:
    sizes = PROFILES[key]
    names = (
        *("throughput_req_s", "throughput_tok_s", "ttft_mean_ms", "ttft_p99_ms"),
        *("tpot_mean_ms", "tpot_p99_ms", "latency_p99_ms"),
    )
    values: dict[str, Any] = {
        "name": key,
        "status": "PASS",
        "input_len": sizes[0],
        "output_len": sizes[1],
        "num_prompts": sizes[2],
        "metrics": dict(zip(names, sizes[3:], strict=True)),
    }
    return ProfileResult.model_validate({**values, **changes})


def performance(scale: float = 1.0) -> Performance:
    profiles = [profile(name) for name in PROFILES]
    for item in profiles:
        item.metrics = {
            name: value * scale if name.startswith("throughput") else value / scale
            for name, value in item.metrics.items()
            if value is not None
        }
    return Performance(status=Status.PASS, profiles_passed="5/5", profiles=profiles, startup_s=74.0)


def install_status(**changes: Any) -> InstallStatus:
    values: dict[str, Any] = {
        **COMMON,
        "status": Status.PASS,
        "container": "flagrelease-nvidia",
        "stack_release": "vllm-0.13.0",
        "python_version": "3.11",
        "glibc_version": "2.36",
        "gate_passed": True,
        "duration_s": 318.0,
        "worker": WorkerIdentity(
            kind="docker",
            name="flagrelease-nvidia",
            image="vllm/vllm-openai:v0.13.0",
            python=PythonFacts(executable="/usr/bin/python3", version=(3, 11, 9), uid=0, gid=0),
        ),
        "packages": {
            "vllm": PackageResult(status=Status.PASS, version="0.13.0", gate=True, action="already_present"),
            "flagtree": PackageResult(
                status=Status.PASS,
                version="0.5.0",
                provider="flagtree",
                gate=True,
                action="installed",
                changed=[PackageChange(name="triton", before="3.5.0")],
            ),
            "flaggems": PackageResult(
                status=Status.PASS,
                version="4.2.0",
                provider="flag_gems",
                commit="9f86d081884c7d65",
                action="installed",
            ),
            "flagcx": PackageResult(status=Status.SKIPPED, reason="one device: nothing to communicate with"),
            "vllm_plugin_fl": PackageResult(
                status=Status.PASS, version="0.1.0", gate=True, action="installed"
            ),
        },
        "environment": EnvironmentFacts.model_validate(
            {
                "status": "PASS",
                "arch": "x86_64",
                "cpu_count": 16,
                "memory_total_mb": 131072,
                "shm_total_mb": 16384,
                "disk_free_gb": 412.6,
                "driver": "570.133.20",
                "kernel": "6.8.0",
                "devices": [Device(index=0, name="NVIDIA H200", memory_total_mb=143771)],
            }
        ),
    }
    return InstallStatus(**{**values, **changes})


def documents() -> dict[str, StepDocument]:
    """Return the documents of a release in which everything passed."""
    diff = {"conclusion": "BOTH_PASS", "recommended_stack": Stack.FULL, "detail": "12 of 12 prompts agree"}
    found: list[StepDocument] = [
        install_status(),
        EnvVerification(
            **COMMON,
            status=Status.PASS,
            smoke_model="Qwen/Qwen2.5-0.5B",
            phase_a="PASS",
            phase_b="PASS",
            phase_a_offline=phase("offline"),
            phase_b_serve=phase("serve"),
        ),
        ModelSnapshot(
            **COMMON,
            status=Status.PASS,
            path="/data/models/qwen",
            bytes=15_231_271_888,
            shard_count=4,
            source="folder",
        ),
        model_run("run_a_result"),
        model_run("run_b_result"),
        DiffAnalysis(
            **COMMON, **diff, status=Status.PASS, agreement={"agreeing": 12, "near_ties": 5, "total": 12}
        ),
        RecommendedStack(
            **COMMON,
            status=Status.PASS,
            recommended_stack=Stack.FULL,
            why="both runs pass and answer alike",
            diff_analysis=DiffSummary(**diff),
        ),
        BenchmarkMetrics(
            **COMMON,
            status=Status.PASS,
            stack=Stack.FULL,
            performance=performance(),
            base_performance=performance(0.93),
            full_to_base_ratio=1.07,
        ),
        AccuracyMetrics(**COMMON, status=Status.SKIPPED, reason="no evaluator is configured"),
    ]
    return {document.step: document for document in found}


def report(**changes: Any) -> ReleaseReport:
    """Return the report of that release."""
    values: dict[str, Any] = {
        **COMMON,
        "status": Status.PASS,
        "container": "flagrelease-nvidia",
        "model_path": "/data/models/qwen",
        "model_revision": "a09a35458c702b33eeacc393d103063234e8bc28",
        "stack_release": "vllm-0.13.0",
        "conclusion": "The model serves on the full stack; both runs agree and all five profiles passed.",
        "steps": ReportSteps(
            install_stack=InstallSummary(status=Status.PASS),
            env_verify=EnvSummary(status=Status.PASS, phase_a="PASS", phase_b="PASS"),
            model_verify=ModelVerifySummary(
                status=Status.PASS, run_a=Status.PASS, run_b=Status.PASS, recommended_stack=Stack.FULL
            ),
            perf_test=PerfSummary(status=Status.PASS, profiles_passed="5/5"),
        ),
        "step_lines": step_lines(),
        "performance_profiles": [item.model_dump() for item in performance().profiles],
        "reproduce": ["flagrelease release nvidia Qwen/Qwen2.5-7B-Instruct --force"],
        "cannot_prove": ["That answers beyond the 12 fixed prompts agree."],
    }
    return ReleaseReport(**{**values, **changes})


def step_lines() -> list[StepLine]:
    return [
        StepLine(step="install_status", status=Status.PASS, duration_s=318, reused_from_run="aa11bb22"),
        StepLine(step="env_verification", status=Status.PASS, duration_s=121),
        StepLine(step="model_snapshot", status=Status.PASS, duration_s=4.2),
        StepLine(step="run_a_result", status=Status.PASS, duration_s=204),
        StepLine(step="run_b_result", status=Status.PASS, duration_s=266),
        StepLine(step="diff_analysis", status=Status.PASS, duration_s=0.1),
        StepLine(step="recommended_stack", status=Status.PASS, duration_s=0.01),
        StepLine(step="benchmark_metrics", status=Status.PASS, duration_s=1290),
        StepLine(step="accuracy_metrics", status=Status.SKIPPED, reason="no evaluator is configured"),
    ]
