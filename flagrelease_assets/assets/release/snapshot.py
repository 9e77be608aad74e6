"""`model_snapshot`: the target model's files in the worker, whole, and how it will be split.

Belongs here: the step. Does not belong here: the check of a folder (`container_scripts/model_files.py`),
the arithmetic of the split (`tensor_parallel.py`).
"""

from __future__ import annotations

from typing import Any

from flagrelease_assets.assets.release.findings import finding
from flagrelease_assets.assets.release.model_files import prepare_model
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Blocker, Step, Upstream
from flagrelease_assets.assets.release.tensor_parallel import TensorParallelError, plan_tensor_parallel
from flagrelease_assets.contracts.common import ErrorRecord, Status
from flagrelease_assets.contracts.install import InstallStatus
from flagrelease_assets.contracts.model_files import ModelFiles, ModelSnapshot
from flagrelease_assets.contracts.model_run import EnvVerification


def environment_gate(upstream: Upstream) -> list[Blocker]:
    """Close the gate if the environment was not verified, or failed fatally; other failures go on."""
    environment = upstream["env_verification"]
    if not isinstance(environment, EnvVerification):
        return [Blocker("env_verification", "has no stored result")]
    if environment.status == Status.BLOCKED:
        return [Blocker("env_verification", "is BLOCKED")]
    return [Blocker("env_verification", "failed fatally")] if environment.fatal else []


def _gate(upstream: Upstream) -> list[Blocker]:
    install = upstream["install_status"]
    missing = [] if install else [Blocker("install_status", "has no stored result")]
    return [*missing, *environment_gate(upstream)]


def _settings(scope: StepScope) -> dict[str, Any]:
    entry = scope.model_entry
    if entry.source == "folder":
        identity = scope.observe("worker_identity", ["--model", entry.path or entry.id])
        version = (identity.get("model") or {}).get("digest") or "absent"
    else:
        version = scope.wanted_revision or "newest"
    return {"model": entry.model_dump(mode="json"), "version": version}


def _perform(scope: StepScope) -> ModelSnapshot:
    entry = scope.model_entry
    report = prepare_model(scope, entry, revision=scope.wanted_revision)
    files = report.document or ModelFiles(status="FAIL")
    errors = [report.error.model_copy(update={"fatal": True})] if report.error else []
    size, reason = 1, None
    if not errors:
        try:
            plan = _split(scope, files)
            size, reason = plan.size, plan.reason
        except TensorParallelError as error:
            errors.append(_split_finding(scope, error))
    return scope.document(
        ModelSnapshot,
        status=Status.FAIL if errors else Status.PASS,
        reason=errors[0].cause if errors else None,
        errors=errors,
        model_id=entry.id,
        source=entry.source,
        revision=files.revision or files.digest,
        path=files.path or entry.path or "",
        bytes=files.total_bytes or 0,
        shard_count=len(files.shards.get("expected") or []),
        has_chat_template=bool(files.has_chat_template),
        tensor_parallel_size=size,
        tensor_parallel_reason=reason,
        trust_remote_code=entry.trust_remote_code,
        files=files,
    )


def _split(scope: StepScope, files: ModelFiles) -> Any:
    install = scope.upstream_document("install_status", InstallStatus)
    devices = install.environment.devices if install.environment else []
    memories = [device.memory_total_mb for device in devices if device.memory_total_mb]
    requested = scope.model_entry.tensor_parallel_size
    return plan_tensor_parallel(
        None if requested == "auto" else requested,
        devices=len(devices),
        device_memory_mb=min(memories) if memories else None,
        weight_bytes=files.weight_bytes,
        attention_heads=files.config.get("num_attention_heads"),
    )


def _split_finding(scope: StepScope, error: TensorParallelError) -> ErrorRecord:
    return finding(scope.step, str(error), category="config", layer="2", fatal=True)


MODEL_SNAPSHOT = Step(
    name="model_snapshot",
    kind=ModelSnapshot,
    description=(
        "The model's files in the worker: path, revision, bytes, shards checked against the index, "
        "tokenizer, and the tensor parallel size. Downloaded only if they are not there."
    ),
    upstream=("install_status", "env_verification"),
    gate=_gate,
    perform=_perform,
    settings=_settings,
    reads_model_version=True,
    kinds=("huggingface", "json"),
)
