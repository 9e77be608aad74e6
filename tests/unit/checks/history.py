"""Documents of a cell that was released several times, for the tests of judgement against history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flagrelease_assets.contracts import (
    AccuracyMetrics,
    BenchmarkMetrics,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    StepDocument,
)
from flagrelease_assets.contracts.benchmark import Performance, ProfileResult
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.install import PackageResult
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.past import Past

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = "short_prefill_short_decode"
FIGURES = {"throughput_tok_s": 1000.0, "ttft_mean_ms": 100.0, "tpot_mean_ms": 10.0}


def common(run: int, **changes: Any) -> dict[str, Any]:
    """Return what every document of the numbered run has; run N is on day N."""
    values = {
        "vendor": "nvidia",
        "model": "org--toy",
        "run_id": f"run-{run}",
        "created_at": FIRST + timedelta(days=run),
        "status": Status.PASS,
    }
    return {**values, **changes}


def snapshot(run: int, revision: str = "r1") -> ModelSnapshot:
    return ModelSnapshot(**common(run), revision=revision)


def benchmark(
    run: int,
    *,
    speed: float = 1.0,
    profiles: Sequence[str] = (PROFILE,),
    config: Mapping[str, Any] | None = None,
    stack: Stack = Stack.FULL,
    figures: Mapping[str, float | None] = FIGURES,
    **changes: Any,
) -> BenchmarkMetrics:
    """Return a benchmark with `speed` times the usual throughput, and latencies as much less."""
    metrics = {
        name: value and (value * speed if name.startswith("throughput") else value / speed)
        for name, value in figures.items()
    }
    measured = [
        ProfileResult(
            name=name, input_len=256, output_len=128, num_prompts=100, status="PASS", metrics=metrics
        )
        for name in profiles
    ]
    server = {"effective_config": dict(config)} if config else {}
    return BenchmarkMetrics(
        **common(run, **changes),
        stack=stack,
        performance=Performance(status=Status.PASS, profiles=measured, server=server),
    )


def run_b(run: int, text: str = " Paris.", gap: float = 3.0, **changes: Any) -> ModelRun:
    """Return a Run B that answers one prompt; `gap` is its top-2 gap in nat at every token."""
    tokens = [ord(letter) for letter in text]
    output = {
        "prompt_id": "capital",
        "text": text,
        "token_ids": tokens,
        "logprobs": [-0.01] * len(tokens),
        "top2_gap": [gap] * len(tokens),
        "finish_reason": "stop",
    }
    offline = PhaseDocument.model_validate({"status": "PASS", "outputs": [output]})
    values = {"flags": {"VLLM_PLUGINS": "fl"}, "phase_a_offline": offline, **common(run), **changes}
    return ModelRun(step="run_b_result", stack=Stack.FULL, **values)


def install(run: int, *, digest: str = "d1", release: str = "vllm-0.13.0", **versions: str) -> InstallStatus:
    named = {"vllm": "0.13.0", "flaggems": "4.2.0", **versions}
    return InstallStatus.model_validate(
        {
            **common(run),
            "stack_release": release,
            "gate_passed": True,
            "packages_digest": digest,
            "packages": {
                key: PackageResult(status=Status.PASS, version=version, provider=key)
                for key, version in named.items()
            },
        }
    )


def accuracy(run: int, score: float | None = 0.6, **changes: Any) -> AccuracyMetrics:
    scores = {} if score is None else {"gpqa": score}
    return AccuracyMetrics(**common(run, **changes), evaluator="evals", scores=scores)


def past(*documents: StepDocument, unreadable: int = 0, revisions: Mapping[int, str] | None = None) -> Past:
    """Return these documents as the past of a cell, with the snapshot of every run's model."""
    runs = {int(document.measured_by_run.removeprefix("run-")) for document in documents} | {99}
    known = revisions or {}
    found: dict[str, list[StepDocument]] = {
        "model_snapshot": [snapshot(run, known.get(run, "r1")) for run in runs]
    }
    for document in documents:
        found.setdefault(document.step, []).append(document)
    return Past(found, unreadable)
