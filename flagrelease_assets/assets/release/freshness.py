"""Whether what is above a step is there and up to date, when the step is asked for without it.

A run that includes the steps above needs no such question: it has just measured or reused them. A click on
one asset does not include them, and Dagster runs just that asset.

Belongs here: which steps above are missing or stale, and why.
Does not belong here: launching them (`sensors/pull_upstream.py`), gates (`step.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from container_scripts.scripts_digest import scripts_digest
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.contracts import InstallStatus, ModelSnapshot
from flagrelease_assets.contracts.common import (
    Status,
    StepDocument,
    UnreadableResult,
    upstream_input,
    upstream_names,
)
from flagrelease_assets.deployment import DeploymentError
from flagrelease_assets.results.store import StoredResultError


def missing_or_stale(scope: StepScope) -> dict[str, str]:
    """Return the steps above that are missing or stale, with why; empty if this run has made them itself.

    An unreadable result is neither: it needs a person's eye, and the gate names it.
    """
    if not scope.upstream or scope.lost_run:
        return {}
    if all(document and document.run_id == scope.run_id for document in scope.upstream.values()):
        return {}
    found: dict[str, str] = {}
    waiting = list(scope.upstream)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        document = _newest(scope, name)
        if document is None:
            found[name] = "has no stored result"
        elif not isinstance(document, UnreadableResult):
            reason = next(_why_stale(scope, document), None)
            if reason:
                found[name] = reason
            waiting += [*upstream_names(document.fingerprint_inputs), *document.blocked_by]
    return found


def _newest(scope: StepScope, step: str) -> StepDocument | None:
    if step in scope.upstream:
        return scope.upstream[step]
    try:
        return scope.store.latest(step, scope.vendor, scope.model)
    except StoredResultError:
        return None


def _why_stale(scope: StepScope, document: StepDocument) -> Iterator[str]:
    """Yield every reason why a stored result no longer describes what is configured and measured above it."""
    if document.status == Status.BLOCKED:
        yield from _why_no_longer_blocked(scope, document)
        return
    scripts = document.fingerprint_inputs.get("scripts")
    if scripts and scripts != scripts_digest(str(scope.scripts_root)):
        yield "was measured by other programs than the present ones"
    for above in upstream_names(document.fingerprint_inputs):
        newest = _newest(scope, above)
        if newest is None or isinstance(newest, UnreadableResult):
            continue
        if document.fingerprint_inputs[upstream_input(above)] != newest.digest:
            yield f"was measured with another result of {above} than the newest"
    if isinstance(document, InstallStatus):
        yield from _why_other_release(scope, document)
    if isinstance(document, ModelSnapshot):
        yield from _why_other_revision(scope, document)


def _why_no_longer_blocked(scope: StepScope, document: StepDocument) -> Iterator[str]:
    if document.missing_upstream:
        yield "was blocked because steps above it were missing or stale"
    blockers = [_newest(scope, name) for name in document.blocked_by]
    if blockers and all(blocker is None or blocker.usable for blocker in blockers):
        yield f"was blocked by {', '.join(document.blocked_by)}, which blocks no more"


def _why_other_release(scope: StepScope, document: InstallStatus) -> Iterator[str]:
    try:
        wanted = scope.stack_release.id
    except DeploymentError:
        return
    if document.stack_release and document.stack_release != wanted:
        yield f"is of stack release {document.stack_release}, and {wanted} is configured"


def _why_other_revision(scope: StepScope, document: ModelSnapshot) -> Iterator[str]:
    try:
        wanted = scope.wanted_revision
    except DeploymentError:
        return
    if wanted and document.revision and document.revision != wanted:
        yield f"is of revision {document.revision}, and {wanted} is wanted"
