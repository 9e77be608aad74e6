"""What a benchmark's doubts mean for judgement: whether it is history, whether its ratio alone is bad.

Belongs here: judging doubts by their kind, and reading the kinds of results that were stored without them.
Does not belong here: finding doubts (the step), figures and the threshold of the ratio (`regression.py`).
"""

from __future__ import annotations

from flagrelease_assets.contracts import BenchmarkMetrics
from flagrelease_assets.contracts.benchmark import DoubtKind
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.past import passed

# Doubts that leave the figures of the profiles that passed as good as any.
_FIGURES_STAND = frozenset(
    {DoubtKind.NOT_ALL_PASSED, DoubtKind.PROFILE_NOT_APPLICABLE, DoubtKind.TOO_SLOW},
)

# Words and threshold of results that were stored without kinds: today's may change, these may not.
_OLD_MINIMUM_RATIO = 0.80
_OLD_TOO_SLOW = "{}: {:.3f} of base's throughput, at least 0.80 is asked"


def undoubted(document: BenchmarkMetrics) -> bool:
    """Whether all that a benchmark is blamed for is its ratio, or profiles that are not applicable."""
    if document.status != Status.PARTIAL:
        return passed(document)
    kinds = _kinds(document)
    return kinds is not None and kinds <= _FIGURES_STAND


def only_too_slow(document: BenchmarkMetrics) -> bool:
    """Whether the ratio is all that this benchmark is blamed for."""
    return _kinds(document) == {DoubtKind.TOO_SLOW}


def _kinds(document: BenchmarkMetrics) -> set[DoubtKind] | None:
    """Return what a benchmark is doubted for; None if that is not known."""
    if document.doubts is None:
        return _kinds_of_words(document)
    return {doubt.kind for doubt in document.doubts}


def _kinds_of_words(document: BenchmarkMetrics) -> set[DoubtKind] | None:
    """Return the doubts of a result that was stored before they had kinds.

    Such a result has a reason alone. It is understood if it is made of what the profiles and the ratios give
    again; if it says anything beyond that, nobody can tell which doubt that was.
    """
    profiles = document.performance.not_passed
    slow = [
        _OLD_TOO_SLOW.format(name, ratio)
        for name, ratio in document.ratios.items()
        if ratio < _OLD_MINIMUM_RATIO
    ]
    limits = [document.ratio_note] if document.ratio_note else []
    words = [*(doubt.text for doubt in profiles), *slow, *limits]
    if document.reason != "; ".join(words):
        return None
    return {doubt.kind for doubt in profiles} | ({DoubtKind.TOO_SLOW} if slow else set())
