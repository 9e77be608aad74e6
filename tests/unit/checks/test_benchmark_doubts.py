"""What a benchmark's doubts mean: by kind, and by the words of results that were stored without kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flagrelease_assets.benchmark_doubts import only_too_slow, undoubted
from flagrelease_assets.contracts import BenchmarkMetrics
from flagrelease_assets.contracts.benchmark import BenchmarkDoubt, DoubtKind
from flagrelease_assets.contracts.common import Status
from tests.unit.checks.history import PROFILE, benchmark

HARMLESS = {DoubtKind.TOO_SLOW, DoubtKind.NOT_ALL_PASSED, DoubtKind.PROFILE_NOT_APPLICABLE}
OTHERS = sorted(set(DoubtKind) - HARMLESS)

# As it was stored before doubts had kinds; the words must not follow a change of today's.
OLD_SLOW = f"{PROFILE}: 0.700 of base's throughput, at least 0.80 is asked"
OLD_LIMIT = "the servers of full and base differ: max_model_len: 1024 against 2048"
OLD_COUNT = "1/2 profiles passed; long: the context is shorter"


def doubted(*kinds: DoubtKind) -> BenchmarkMetrics:
    doubts = [BenchmarkDoubt(kind=kind, text="in any words") for kind in kinds]
    return benchmark(1, status=Status.PARTIAL).model_copy(update={"doubts": doubts})


def stored_before_kinds(
    reason: str | None, long_profile: str | None = None, **changes: Any
) -> BenchmarkMetrics:
    """Return a benchmark as it is read from a file of then; with a second profile if its status is given."""
    profiles = [PROFILE, "long"] if long_profile else [PROFILE]
    stored = json.loads(benchmark(1, status=Status.PARTIAL, profiles=profiles).model_dump_json())
    del stored["doubts"]
    if long_profile:
        stored["performance"] |= {"status": "PARTIAL", "profiles_passed": "1/2"}
        stored["performance"]["profiles"][1] |= {
            "status": long_profile,
            "reasons": ["the context is shorter"],
        }
    return BenchmarkMetrics.model_validate({**stored, "reason": reason, **changes})


@pytest.mark.parametrize("kind", sorted(HARMLESS))
def test_doubts_that_leave_the_figures_as_they_are_leave_it_history(kind: DoubtKind) -> None:
    assert undoubted(doubted(kind))


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_doubt_takes_it_out_of_history_and_from_the_waiver_of_the_ratio(kind: DoubtKind) -> None:
    both = doubted(DoubtKind.TOO_SLOW, kind)
    assert not undoubted(both)
    assert not only_too_slow(both)


def test_a_benchmark_is_only_too_slow_if_nothing_else_is_doubted() -> None:
    assert only_too_slow(doubted(DoubtKind.TOO_SLOW, DoubtKind.TOO_SLOW))
    assert not only_too_slow(doubted(DoubtKind.TOO_SLOW, DoubtKind.NOT_ALL_PASSED))
    assert not only_too_slow(doubted())


@pytest.mark.parametrize("status", [Status.FAIL, Status.BLOCKED, Status.SKIPPED])
def test_what_was_not_measured_is_no_history_without_any_doubt_too(status: Status) -> None:
    assert not undoubted(doubted().model_copy(update={"status": status}))


def test_the_words_of_a_result_with_kinds_are_not_read() -> None:
    slow = doubted(DoubtKind.TOO_SLOW).model_copy(update={"reason": "not measured: x"})
    assert (only_too_slow(slow), undoubted(slow)) == (True, True)
    other = doubted(DoubtKind.STACK_INACTIVE)
    other = other.model_copy(update={"reason": OLD_SLOW, "ratios": {PROFILE: 0.7}})
    assert (only_too_slow(other), undoubted(other)) == (False, False)


SLOW = {PROFILE: 0.7, "high_concurrency": 0.95}


@pytest.mark.parametrize(
    ("stored", "too_slow", "history"),
    [
        (stored_before_kinds(OLD_SLOW, ratios=SLOW), True, True),
        (stored_before_kinds(f"{OLD_SLOW}; {OLD_LIMIT}", ratios=SLOW, ratio_note=OLD_LIMIT), True, True),
        (stored_before_kinds(f"{OLD_SLOW}; not measured: x", ratios=SLOW), False, False),
        (stored_before_kinds("not measured: x", ratios={PROFILE: 0.9}), False, False),
        (stored_before_kinds(OLD_COUNT, "SKIPPED"), False, True),
        (stored_before_kinds(f"{OLD_COUNT}; {OLD_SLOW}", "SKIPPED", ratios=SLOW), False, True),
        (stored_before_kinds(OLD_COUNT, "FAIL"), False, False),
        (stored_before_kinds(OLD_COUNT, "PARTIAL"), False, False),
        (stored_before_kinds(None), False, False),
    ],
    ids=[
        "too slow",
        "too slow with a note",
        "too slow and more",
        "fast but not whole",
        "a profile not applicable",
        "a profile not applicable, and too slow",
        "a profile failed",
        "a profile lost requests",
        "no reason",
    ],
)
def test_a_result_stored_before_kinds_is_read_and_judged_as_it_was(
    stored: BenchmarkMetrics, too_slow: bool, history: bool
) -> None:
    assert stored.doubts is None
    assert (only_too_slow(stored), undoubted(stored)) == (too_slow, history)


def test_a_pass_stored_before_kinds_is_history_with_a_note_too() -> None:
    assert undoubted(stored_before_kinds(OLD_LIMIT, status="PASS", ratio_note=OLD_LIMIT))
