"""A step of the release as data, and the one way in which every step produces its document.

Belongs here: gates, fingerprints, reuse, catching what goes wrong.
Does not belong here: what a step does (its own module), the Dagster asset of a step (`step_asset.py`).
"""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from container_scripts.scripts_digest import scripts_digest
from flagrelease_assets.assets.release.findings import finding
from flagrelease_assets.assets.release.freshness import missing_or_stale
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.catalog import CatalogError
from flagrelease_assets.contracts.common import (
    Component,
    ErrorRecord,
    Status,
    StepDocument,
    UnreadableResult,
    digest,
    upstream_input,
)
from flagrelease_assets.deployment import DeploymentError
from flagrelease_assets.results.store import StoredResultError
from flagrelease_assets.workers.base import WorkerError, WorkerProblem

RELEASE_GROUP = "release"
MODEL_VERSION = dg.AssetKey("model_version")
STACK_RELEASE = dg.AssetKey("stack_release")
FORCE_TAG = "flagrelease/force"
LOST_RUN_TAG = "flagrelease/report_for"
PULLED_TAG = "flagrelease/pulled_for"

UNREACHABLE = (WorkerProblem.ENGINE_UNREACHABLE, WorkerProblem.TIMEOUT, WorkerProblem.TRANSFER)

Upstream = Mapping[str, StepDocument | None]


@dataclass(frozen=True)
class Blocker:
    """A step above that closed the gate, and why."""

    step: str
    reason: str


def blocked_by_unusable(upstream: Upstream) -> list[Blocker]:
    """Close the gate for every upstream step that is missing, blocked or failed."""
    return [
        Blocker(name, "has no stored result" if document is None else f"is {document.status}")
        for name, document in upstream.items()
        if document is None or not document.usable
    ]


def blocked_by_absent(upstream: Upstream) -> list[Blocker]:
    """Close the gate only for upstream steps that never ran (missing or blocked); a FAIL is a finding."""
    return [
        Blocker(name, "has no stored result" if document is None else "is BLOCKED")
        for name, document in upstream.items()
        if document is None or document.status == Status.BLOCKED
    ]


@dataclass(frozen=True)
class Step:
    """One asset of the release.

    Attributes:
        name: the asset's key.
        kind: the document that it stores.
        description: what a reader of the graph should know.
        upstream: names of the steps whose documents it reads.
        perform: does the work; returns the document, or raises.
        gate: says which upstream documents forbid running; an unreadable one always does.
        always_runs: whether it runs whatever became of the steps above.
        settings: what the result depends on beyond scripts and upstream documents, by name.
        document_fields: fields that the document needs even when nothing ran.
        shared_by_models: whether the result depends on the worker alone.
        reuse: whether a stored PASS may stand in for running.
        reads_model_version: whether the external model version is above this step.
        reads_stack_release: whether the vendor's external stack release is above this step.
        publish: writes what people open (pages, tables) and returns its metadata.
        blocking_check: name of a check that turns the run red on FAIL, if any.
    """

    name: str
    kind: type[StepDocument]
    description: str
    perform: Callable[[StepScope], StepDocument]
    upstream: tuple[str, ...] = ()
    gate: Callable[[Upstream], list[Blocker]] = blocked_by_unusable
    always_runs: bool = False
    settings: Callable[[StepScope], dict[str, Any]] = lambda _scope: {}
    document_fields: Mapping[str, Any] = field(default_factory=dict)
    shared_by_models: bool = False
    reuse: bool = True
    reads_model_version: bool = False
    reads_stack_release: bool = False
    publish: Callable[[StepScope, Any], dict[str, Any]] | None = None
    blocking_check: str | None = None
    kinds: tuple[str, ...] = ("json",)


def run_step(step: Step, scope: StepScope, *, force: bool) -> StepDocument:
    """Produce a step's document: blocked, reused or measured; whatever goes wrong becomes a document too."""
    started = time.monotonic()
    inputs: dict[str, str] = {}
    try:
        if reason := _no_worker(scope):
            return _skipped(step, scope, reason)
        if missing := missing_or_stale(scope):
            _ = scope.deployment  # an unreadable file hides the stored results: it is the cause to name
            return _waiting(step, scope, missing)
        blockers = [] if step.always_runs else _unreadable(scope.upstream) or step.gate(scope.upstream)
        if blockers:
            return _blocked(step, scope, blockers)
        inputs = _fingerprint_inputs(step, scope)
        if step.reuse and not force and (stored := _stored_pass(step, scope, digest(inputs))):
            return _reused(stored, scope)
        document = step.perform(scope)
        inputs = _inputs_afterwards(step, scope, document, inputs)
    except (DeploymentError, CatalogError, WorkerError, StoredResultError) as error:
        document = _failed(step, scope, _known_error(step.name, error))
    except Exception as error:  # a defect of ours is a finding of this step too, never a lost report
        scope.log(traceback.format_exc())
        cause = f"{type(error).__name__}: {error}"
        record = finding(step.name, cause, category="harness", component="unknown", retryable=True)
        document = _failed(step, scope, record)
    scope.log(f"{document.status}{': ' + document.reason if document.reason else ''}")
    return document.model_copy(
        update={
            "fingerprint": digest(inputs) if inputs else "",
            "fingerprint_inputs": inputs,
            "duration_s": round(time.monotonic() - started, 3),
        }
    )


def _unreadable(upstream: Upstream) -> list[Blocker]:
    return [
        Blocker(name, f"is unreadable: {document.reason}")
        for name, document in upstream.items()
        if isinstance(document, UnreadableResult)
    ]


def _fingerprint_inputs(step: Step, scope: StepScope) -> dict[str, str]:
    inputs = {"step": step.name, "scripts": scripts_digest(str(scope.scripts_root))}
    for name, document in scope.upstream.items():
        inputs[upstream_input(name)] = document.digest if document else "none"
    inputs.update({name: _as_text(value) for name, value in step.settings(scope).items()})
    return inputs


def _inputs_afterwards(
    step: Step, scope: StepScope, document: StepDocument, before: dict[str, str]
) -> dict[str, str]:
    """Return what a result depends on once it is measured: installing changes the packages it depends on."""
    if not step.reuse or document.status not in (Status.PASS, Status.PARTIAL):
        return before
    try:
        return _fingerprint_inputs(step, scope)
    except WorkerError as error:  # the result stands; it will just not be found for reuse
        scope.log(f"the worker went away after the measurement: {error}")
        return before


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else digest(value)


def _stored_pass(step: Step, scope: StepScope, fingerprint: str) -> StepDocument | None:
    """Return a stored PASS with this fingerprint; one that cannot be read is put aside and measured anew."""
    try:
        if step.shared_by_models:
            return scope.store.pass_with_fingerprint(step.name, scope.vendor, fingerprint)
        stored = scope.store.latest_pass(step.name, scope.vendor, scope.model)
    except StoredResultError as error:
        scope.log(f"not reused: {error}; kept as {scope.store.put_aside(error)}")
        return None
    return stored if stored and stored.fingerprint == fingerprint else None


def _reused(stored: StepDocument, scope: StepScope) -> StepDocument:
    scope.log(f"unchanged since run {stored.measured_by_run}: its PASS is reused (force runs it again)")
    return stored.model_copy(
        update={
            "run_id": scope.run_id,
            "model": scope.model,
            "reused_from_run": stored.measured_by_run,
            "housekeeping": scope.housekeeping,
        }
    )


def _blocked(step: Step, scope: StepScope, blockers: list[Blocker]) -> StepDocument:
    return scope.document(
        step.kind,
        **step.document_fields,
        status=Status.BLOCKED,
        blocked_by=[blocker.step for blocker in blockers],
        reason="; ".join(f"{blocker.step} {blocker.reason}" for blocker in blockers),
    )


def _waiting(step: Step, scope: StepScope, missing: Mapping[str, str]) -> StepDocument:
    """Return the document of a step that was asked for without what it needs above it."""
    reasons = "; ".join(f"{name} {reason}" for name, reason in missing.items())
    scope.log(f"BLOCKED, missing upstream: {reasons}")
    return scope.document(
        step.kind,
        **step.document_fields,
        status=Status.BLOCKED,
        missing_upstream=list(missing),
        reason=f"missing upstream: {reasons}. The sensor pull_upstream launches it; without the daemon, "
        f"run `flagrelease release {scope.vendor} {scope.model}`",
    )


def _no_worker(scope: StepScope) -> str | None:
    """Return why nothing can be released on a vendor that the deployment has no worker for, or None."""
    try:
        deployment = scope.deployment
    except DeploymentError:  # a finding of the first step
        return None
    return None if scope.vendor in deployment.workers else f"no worker: {deployment.no_worker(scope.vendor)}"


def _skipped(step: Step, scope: StepScope, reason: str) -> StepDocument:
    scope.log(f"SKIPPED: {reason}")
    return scope.document(step.kind, **step.document_fields, status=Status.SKIPPED, reason=reason)


def _failed(step: Step, scope: StepScope, record: ErrorRecord) -> StepDocument:
    return scope.document(
        step.kind, **step.document_fields, status=Status.FAIL, errors=[record], reason=record.cause
    )


def _known_error(step: str, error: Exception) -> ErrorRecord:
    if isinstance(error, WorkerError):
        return finding(
            step,
            str(error),
            category=error.category,
            component=_component(error.category),
            fatal=True,
            retryable=error.retryable,
        )
    if isinstance(error, StoredResultError):
        return finding(step, str(error), category="harness", component="unknown")
    return finding(step, str(error), category="configuration", fatal=True)


def _component(problem: WorkerProblem) -> Component:
    if problem is WorkerProblem.DEVICE_BUSY:
        return "unknown"
    return "network" if problem in UNREACHABLE else "user"
