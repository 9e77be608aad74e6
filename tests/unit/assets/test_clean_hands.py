"""One measurement that fails says nothing of the next one, nor that memory is free."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flagrelease_assets.assets.release import clean_hands
from flagrelease_assets.assets.release.clean_hands import DeviceMemory, Levels, MemoryWatch
from flagrelease_assets.workers.base import WorkerError, WorkerProblem
from flagrelease_assets.workers.job_models import LEASE_S

HICCUP = WorkerError(WorkerProblem.TIMEOUT, "the engine restarts", retryable=True)
FREE: Levels = {"0": 100}
TAKEN: Levels = {"0": 70_000}


def watch_of(*answers: Levels | str | WorkerError, busy_s: float = 5.0) -> MemoryWatch:
    """Return a watch whose measurements answer this in turn, and the last one again and again."""
    left: Iterator[Levels | str | WorkerError] = iter(answers)

    def measure() -> Levels | str:
        answer = next(left, answers[-1])
        if isinstance(answer, WorkerError):
            raise answer
        return answer

    return MemoryWatch(DeviceMemory(), measure, lambda line: None, busy_s=busy_s, pause_s=0.01)


def test_a_measurement_that_fails_is_said_and_the_next_job_is_watched_again() -> None:
    watch = watch_of(FREE, HICCUP, FREE, FREE)
    after = watch.after_job("a", watch.before_job("a"))
    assert (after.freed, after.reason) == (None, "not measured: the engine restarts")
    assert watch.after_job("b", watch.before_job("b")).freed is True


def test_a_measurement_that_fails_before_a_job_is_no_level_of_it() -> None:
    watch = watch_of(HICCUP, FREE)
    first = watch.before_job("a")
    assert (first.before_mb, first.reason) == ({}, "not measured: the engine restarts")
    assert watch.before_job("b").before_mb == FREE


def test_a_measurement_that_fails_while_memory_is_awaited_does_not_let_the_job_start() -> None:
    watch = watch_of(FREE, TAKEN, HICCUP, busy_s=0.1)
    watch.before_job("a")
    with pytest.raises(WorkerError, match="still 70000 MiB on device 0"):
        watch.before_job("b")


def test_a_tool_that_never_tells_is_asked_once() -> None:
    watch = watch_of("not applicable", FREE)
    assert watch.before_job("a").reason == watch.before_job("b").reason == "not applicable"


def test_a_job_gives_up_waiting_before_its_own_hold_on_the_devices_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert clean_hands.LONGEST_WAIT_S + clean_hands.RELEASE_LIMIT_S < LEASE_S
    monkeypatch.setattr(clean_hands, "LONGEST_WAIT_S", 0.05)
    watch = watch_of(FREE, TAKEN, busy_s=3.0)
    watch.before_job("a")
    with pytest.raises(WorkerError, match="after 0 s"):
        watch.before_job("b")
