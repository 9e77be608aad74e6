"""Whose compiled graphs an engine may find again: those of its own stack, in its own release.

Belongs here: the folders.
Does not belong here: which jobs get them (`tests/integration/test_engine_caches.py`).
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from container_scripts.engine_caches import CACHE_VARIABLES, caches_in, caches_of_stack

FULL = {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1", "FLAGCX_PATH": None}
FLAGS = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=4)


@given(FLAGS, FLAGS)
def test_two_stacks_share_caches_only_if_all_their_variables_are_the_same(
    one: dict[str, str | None], other: dict[str, str | None]
) -> None:
    folders = [set(caches_of_stack("/work", "run", flags, {}).values()) for flags in (one, other)]
    assert (folders[0] == folders[1]) is (one == other)
    assert one == other or not folders[0] & folders[1]


def test_a_stack_without_an_operator_never_finds_what_the_full_stack_compiled() -> None:
    reduced = {**FULL, "VLLM_FL_FLAGOS_BLACKLIST": "mul"}
    full = caches_of_stack("/work", "run", FULL, {})
    assert not set(full.values()) & set(caches_of_stack("/work", "run", reduced, {}).values())


def test_phases_of_one_stack_share_their_caches_whatever_the_order_of_its_variables() -> None:
    backwards = dict(reversed(FULL.items()))
    assert caches_of_stack("/work", "run", FULL, {}) == caches_of_stack("/work", "run", backwards, {})


def test_releases_share_nothing_because_packages_may_have_changed_between_them() -> None:
    first, second = (caches_of_stack("/work", run, FULL, {}) for run in ("one", "two"))
    assert not set(first.values()) & set(second.values())


def test_a_place_that_the_worker_names_is_kept_and_divided_in_the_same_way() -> None:
    named = {"VLLM_CACHE_ROOT": "/big/disk"}
    found = caches_of_stack("/work", "run", FULL, named)
    assert found["VLLM_CACHE_ROOT"].startswith("/big/disk/run/")
    assert found["FLAGGEMS_CACHE_DIR"].startswith("/work/caches/run/")
    assert found["VLLM_CACHE_ROOT"] != caches_of_stack("/work", "run", {}, named)["VLLM_CACHE_ROOT"]


def test_every_cache_of_a_folder_is_below_it() -> None:
    found = caches_in("/scratch/start-1")
    assert set(found) == set(CACHE_VARIABLES)
    assert all(folder.startswith("/scratch/start-1/") for folder in found.values())
    assert len(set(found.values())) == len(found)
