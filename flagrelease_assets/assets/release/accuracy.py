"""`accuracy_metrics`: an evaluator's scores on the recommended stack; SKIPPED until one is configured.

Belongs here: the step and the interface of an evaluator. Does not belong here: any one evaluator.
"""

from __future__ import annotations

from typing import Protocol

from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.step import Step, blocked_by_absent
from flagrelease_assets.contracts import AccuracyMetrics
from flagrelease_assets.contracts.common import Status


class Evaluator(Protocol):
    """Something that scores a served model; given to `accuracy_step`."""

    name: str

    def evaluate(self, scope: StepScope) -> AccuracyMetrics:
        """Score the model of this scope on its recommended stack; raises on a failure of its own."""


def accuracy_step(evaluator: Evaluator | None = None) -> Step:
    """Return the accuracy step with an evaluator plugged in, or the step that says that there is none."""

    def perform(scope: StepScope) -> AccuracyMetrics:
        if evaluator is None:
            return scope.document(AccuracyMetrics, status=Status.SKIPPED, reason="no evaluator is configured")
        return evaluator.evaluate(scope)

    return Step(
        name="accuracy_metrics",
        kind=AccuracyMetrics,
        description="Task accuracy on the recommended stack; SKIPPED until an evaluator is configured.",
        upstream=("recommended_stack",),
        gate=blocked_by_absent,
        perform=perform,
        settings=lambda _scope: {"evaluator": evaluator.name if evaluator else "none"},
        kinds=("python", "json"),
    )
