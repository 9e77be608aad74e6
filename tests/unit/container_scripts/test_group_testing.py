"""Group testing, against simulated stacks whose guilty operators are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.group_testing import (
    OTHER,
    PASS,
    SAME,
    Group,
    OutOfTests,
    most_tests,
    search,
    split,
)

OPERATORS = [f"operator_{number}" for number in range(398)]


class SimulatedStack:
    """Fails as soon as all names of one guilty set are on; counts what it was asked."""

    def __init__(self, *guilty: set[str], most: int = 1000) -> None:
        self.guilty = [frozenset(one) for one in guilty]
        self.most = most
        self.asked: list[Group] = []
        self.calls = 0

    def __call__(self, groups: Sequence[Group]) -> list[str]:
        self.calls += 1
        if len(self.asked) + len(groups) > self.most:
            raise OutOfTests(f"{self.most} tests are used up")
        self.asked += groups
        return [SAME if any(one <= group for one in self.guilty) else PASS for group in groups]


@given(st.integers(0, len(OPERATORS) - 1))
def test_one_guilty_operator_is_found_within_the_stated_bound(position: int) -> None:
    stack = SimulatedStack({OPERATORS[position]})
    found = search(OPERATORS, stack)
    assert found.guilty == {OPERATORS[position]}
    assert found.verified
    assert len(stack.asked) <= most_tests(len(OPERATORS)) == 12


@given(st.sets(st.sampled_from(OPERATORS), min_size=1, max_size=4), st.integers(1, 8))
def test_several_guilty_operators_are_all_found_however_many_engines_run_at_once(
    guilty: set[str], at_once: int
) -> None:
    stack = SimulatedStack(*({one} for one in guilty))
    found = search(OPERATORS, stack, at_once)
    assert found.guilty == guilty
    assert found.verified
    assert stack.calls <= most_tests(len(OPERATORS), len(guilty))


def test_seven_engines_at_once_need_three_rounds_of_halving_instead_of_nine() -> None:
    stack = SimulatedStack({"operator_123"})
    assert search(OPERATORS, stack, at_once=7).guilty == {"operator_123"}
    assert stack.calls <= 6


def test_an_operator_found_guilty_before_is_tried_first_and_takes_three_starts() -> None:
    stack = SimulatedStack({"operator_123"})
    found = search(OPERATORS, stack, suspects=["operator_123", "operator_of_another_release"])
    assert found.guilty == {"operator_123"}
    assert found.verified
    assert len(stack.asked) == 3


def test_a_suspect_of_an_earlier_release_that_is_innocent_here_does_not_mislead() -> None:
    stack = SimulatedStack({"operator_9"})
    assert search(OPERATORS, stack, suspects=["operator_123"]).guilty == {"operator_9"}


def test_of_several_suspects_only_those_that_fail_alone_stay_guilty() -> None:
    stack = SimulatedStack({"operator_9"})
    assert search(OPERATORS, stack, suspects=["operator_9", "operator_10"]).guilty == {"operator_9"}


def test_a_known_guilty_operator_is_not_searched_again_beside_a_new_one() -> None:
    stack = SimulatedStack({"operator_9"}, {"operator_123"})
    found = search(OPERATORS, stack, suspects=["operator_9"])
    assert found.guilty == {"operator_9", "operator_123"}
    assert len(stack.asked) <= 3 + 9 + 2


@given(st.sets(st.sampled_from(OPERATORS[:40]), min_size=2, max_size=3))
def test_operators_that_fail_only_together_are_one_unit(pair: set[str]) -> None:
    found = search(OPERATORS[:40], SimulatedStack(pair))
    assert found.units == [frozenset(pair)]
    assert found.verified


def test_a_stack_that_fails_with_no_operator_on_blames_none() -> None:
    found = search(OPERATORS, SimulatedStack(set()))
    assert not found.guilty
    assert not found.verified
    assert "not what makes it fail" in found.reason


def test_failures_of_another_kind_prove_nothing() -> None:
    def always_otherwise(groups: Sequence[Group]) -> list[str]:
        return [OTHER if group else PASS for group in groups]

    found = search(OPERATORS[:8], always_otherwise)
    assert not found.guilty
    assert not found.verified


def test_a_part_that_fails_otherwise_does_not_hide_the_guilty_one() -> None:
    def one_part_cannot_start(groups: Sequence[Group]) -> list[str]:
        return [
            OTHER
            if "operator_1" in group and "operator_2" not in group
            else SAME
            if "operator_6" in group
            else PASS
            for group in groups
        ]

    found = search(OPERATORS[:8], one_part_cannot_start)
    assert found.guilty == {"operator_6"}


@pytest.mark.parametrize("most", range(12))
def test_a_search_that_must_stop_says_among_which_the_guilty_one_is(most: int) -> None:
    found = search(OPERATORS, SimulatedStack({"operator_123"}, most=most))
    assert "used up" in found.reason
    assert not found.verified
    assert found.among is None or "operator_123" in found.among


@given(st.lists(st.integers(), max_size=50, unique=True), st.integers(1, 60))
def test_splitting_loses_nothing_and_leaves_no_part_empty(names: list[int], parts: int) -> None:
    texts = [str(name) for name in names]
    if texts:
        cut = split(texts, parts)
        assert [name for part in cut for name in part] == texts
        assert all(cut)


def test_suspects_of_which_none_was_tried_alone_stay_one_unit_when_the_tests_run_out() -> None:
    stack = SimulatedStack({OPERATORS[3]}, most=3)
    found = search(OPERATORS, stack, suspects=[OPERATORS[3], OPERATORS[5]])
    assert found.units == [frozenset({OPERATORS[3], OPERATORS[5]})]
    assert not found.verified


def test_names_that_fail_only_together_are_not_said_to_fail_alone() -> None:
    found = search(OPERATORS, SimulatedStack({OPERATORS[3], OPERATORS[300]}))
    assert found.verified
    assert found.units == [frozenset({OPERATORS[3], OPERATORS[300]})]
    assert "only together" in found.reason and "each alone" not in found.reason
