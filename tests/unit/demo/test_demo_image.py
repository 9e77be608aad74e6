"""Tests of the choice of the worker image's base."""

from __future__ import annotations

import pytest

from flagrelease_assets.demo.image import LOCAL_BASE, PULLED_BASE, Base, base_candidates


def test_given_base_is_never_replaced_by_another() -> None:
    assert base_candidates("other/base:1", [LOCAL_BASE], can_bootstrap=True) == [Base("pull", "other/base:1")]


def test_given_base_that_is_here_is_not_pulled() -> None:
    assert base_candidates("mine:1", ["mine:1"], can_bootstrap=False) == [Base("local", "mine:1")]


@pytest.mark.parametrize("image", [LOCAL_BASE, PULLED_BASE])
def test_base_that_is_here_needs_no_network(image: str) -> None:
    assert base_candidates(None, [image, "other:1"], can_bootstrap=True) == [Base("local", image)]


def test_base_made_before_comes_before_one_pulled_before() -> None:
    assert base_candidates(None, [PULLED_BASE, LOCAL_BASE], can_bootstrap=True) == [Base("local", LOCAL_BASE)]


def test_debootstrap_is_the_way_where_no_registry_answers() -> None:
    expected = [Base("pull", PULLED_BASE), Base("debootstrap", LOCAL_BASE)]
    assert base_candidates(None, [], can_bootstrap=True) == expected


def test_without_debootstrap_only_pulling_is_left() -> None:
    assert base_candidates(None, [], can_bootstrap=False) == [Base("pull", PULLED_BASE)]
