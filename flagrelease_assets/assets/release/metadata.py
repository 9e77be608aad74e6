"""What a person sees of a step in the Dagster UI: numbers with stable names, tables, links, Markdown.

Belongs here: the metadata of each document. Does not belong here: the documents' content, reports as files.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import dagster as dg

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    DiffAnalysis,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
)
from flagrelease_assets.contracts.common import StepDocument
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.contracts.operator_search import OperatorSearch
from flagrelease_assets.reporting.markdown import bullets, harmless_table
from flagrelease_assets.results.store import ResultStore

Metadata = dict[str, Any]

# Metric of a profile, and the stable metadata suffix (with its unit) under which Dagster plots it.
PLOTTED_METRICS = {
    "throughput_req_s": "req_per_s",
    "throughput_tok_s": "tok_per_s",
    "ttft_mean_ms": "ttft_mean_ms",
    "tpot_mean_ms": "tpot_mean_ms",
    "latency_p99_ms": "latency_p99_ms",
}


def step_metadata(document: StepDocument, store: ResultStore, pages_url: str | None = None) -> Metadata:
    """Return the metadata of a materialization: what all steps have, then what this one adds.

    With ``pages_url``, where pages are served, logs and the result are links.
    """
    metadata: Metadata = {
        "status": document.status.value,
        "duration_s": document.duration_s,
        "error_count": len(document.errors),
        "measured_by_run": dg.MetadataValue.dagster_run(document.measured_by_run),
    }
    if document.reason:
        metadata["reason"] = document.reason
    if document.reused_from_run:
        metadata["reused_from_run"] = document.reused_from_run
    if document.blocked_by:
        metadata["blocked_by"] = ", ".join(document.blocked_by)
    if document.fingerprint:
        metadata["fingerprint"] = document.fingerprint
    if document.errors:
        columns = ("phase", "layer", "component", "category", "cause", "fatal")
        metadata["errors"] = _table(
            columns, [{name: str(getattr(error, name)) for name in columns} for error in document.errors]
        )
    if document.jobs:
        metadata["jobs"] = _table(
            ("job", "ended_by", "exit_code", "seconds", "logs"),
            [
                {
                    "job": job.name,
                    "ended_by": job.ended_by,
                    "exit_code": str(job.exit_code),
                    "seconds": f"{job.duration_s:.1f}",
                    "logs": " ".join(PurePosixPath(log).name for log in job.logs),
                }
                for job in document.jobs
            ],
        )
        folders = {PurePosixPath(log).parent for job in document.jobs for log in job.logs}
        if len(folders) == 1:
            metadata["log_folder"] = dg.MetadataValue.path(str(store.root / str(folders.pop())))
        if pages_url:
            logs = [log for job in document.jobs for log in job.logs]
            metadata["logs"] = dg.MetadataValue.md("\n".join(_link(log, pages_url) for log in logs) or "none")
    if pages_url:
        result = f"{document.step}/{document.vendor}/{document.model}/{document.run_id}.json"
        metadata["result"] = dg.MetadataValue.url(page_url(pages_url, result))
    return {**metadata, **details(document)}


def page_url(pages_url: str, name: str) -> str:
    """Return where a file of the results is served."""
    return f"{pages_url.rstrip('/')}/{quote(name)}"


def _link(log: str, pages_url: str) -> str:
    return f"- [{PurePosixPath(log).name}]({page_url(pages_url, log)})"


@singledispatch
def details(document: StepDocument) -> Metadata:
    """Return the metadata that one kind of document adds."""
    return {}


@details.register
def _install(document: InstallStatus) -> Metadata:
    rows = [
        {
            "package": key,
            "status": package.status.value,
            "version": package.version or "",
            "provider": package.provider or "",
            "action": package.action or "",
            "reason": package.reason or "",
        }
        for key, package in document.packages.items()
    ]
    return {
        "gate_passed": document.gate_passed,
        "stack_release": document.stack_release,
        "install_seconds": float(sum(package.seconds for package in document.packages.values())),
        "packages": _table(("package", "status", "version", "provider", "action", "reason"), rows),
    }


@details.register
def _environment(document: EnvVerification) -> Metadata:
    return {
        "smoke_model": document.smoke_model,
        "phase_a_offline": document.phase_a,
        "phase_b_serve": document.phase_b,
        "fatal": document.fatal,
        **_phases(document.phase_a_offline, document.phase_b_serve),
    }


@details.register
def _snapshot(document: ModelSnapshot) -> Metadata:
    return {
        "path": document.path,
        "revision": document.revision or "unknown",
        "model_bytes": document.bytes,
        "shard_count": document.shard_count,
        "tensor_parallel_size": document.tensor_parallel_size,
        "trust_remote_code": document.trust_remote_code,
    }


@details.register
def _run(document: ModelRun) -> Metadata:
    return {
        "stack": document.stack.value,
        "flags": dg.MetadataValue.json(document.flags),
        "stack_evidence": dg.MetadataValue.json(document.stack_evidence),
        **({"output_sample": document.output_sample} if document.output_sample else {}),
        **_phases(document.phase_a_offline, document.phase_b_serve),
    }


@details.register
def _diff(document: DiffAnalysis) -> Metadata:
    return {
        "conclusion": document.conclusion,
        "detail": document.detail,
        "multichip_component": document.multichip_component or "none",
        "reasons": dg.MetadataValue.md(bullets(document.reasons) or "none"),
        "arms": _table(
            ("arm", "phase", "verdict", "reason"),
            [
                {"arm": arm.arm, "phase": arm.phase, "verdict": arm.verdict, "reason": arm.reason or ""}
                for arm in document.arms
            ],
        ),
        "recommended_stack": document.recommended_stack.value,
        **({"guilty_operators": _guilty(document)} if document.searches else {}),
        **_search("operator_search", document.operator_search),
        **_search("further_search", document.further_search),
    }


def _guilty(document: DiffAnalysis) -> str:
    return ", ".join(document.guilty_operators) or "none named"


def _search(name: str, search: OperatorSearch | None) -> Metadata:
    return {f"{name}_starts": search.starts, f"{name}_seconds": search.seconds} if search else {}


@details.register
def _recommendation(document: RecommendedStack) -> Metadata:
    off = {"operators_off": ", ".join(document.operators_off)} if document.operators_off else {}
    return {"recommended_stack": document.recommended_stack.value, "why": document.why, **off}


@details.register
def _benchmark(document: BenchmarkMetrics) -> Metadata:
    metadata: Metadata = {
        "stack": document.stack.value,
        "profiles_passed": document.performance.profiles_passed,
        "summary": dg.MetadataValue.md(
            harmless_table(document.performance.summary_table) or "no profile ran"
        ),
    }
    if document.performance.startup_s is not None:
        metadata["startup_s"] = float(document.performance.startup_s)
    if document.full_to_base_ratio is not None:
        metadata["full_to_base_ratio"] = document.full_to_base_ratio
    for profile in document.performance.profiles:
        for metric, suffix in PLOTTED_METRICS.items():
            value = profile.metrics.get(metric)
            if value is not None:
                metadata[f"{profile.name}_{suffix}"] = round(float(value), 4)
    return metadata


@details.register
def _report(document: ReleaseReport) -> Metadata:
    return {
        "verdict": document.status.value,
        "conclusion": document.conclusion,
        "recommended_stack": document.steps.model_verify.recommended_stack.value,
        "profiles_passed": document.steps.perf_test.profiles_passed,
        "findings": dg.MetadataValue.md(bullets(document.findings) or "none"),
        **({"waived": len(document.waived)} if document.waived else {}),
        **(
            {"verdict_without_waivers": document.verdict_without_waivers.value}
            if document.verdict_without_waivers
            else {}
        ),
    }


def _phases(offline: PhaseDocument | None, serve: PhaseDocument | None) -> Metadata:
    metadata: Metadata = {}
    if offline and offline.duration_s is not None:
        metadata["offline_seconds"] = float(offline.duration_s)
    if serve and serve.startup_s is not None:
        metadata["startup_s"] = float(serve.startup_s)
    return metadata


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> dg.TableMetadataValue:
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    return dg.MetadataValue.table(records=[dg.TableRecord(row) for row in rows], schema=schema)
