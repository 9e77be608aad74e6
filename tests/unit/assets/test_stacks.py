"""The environments of both runs: base is really base, full is really full."""

from __future__ import annotations

from flagrelease_assets.assets.release.stacks import base_environment, full_environment
from flagrelease_assets.contracts.common import Stack


def test_base_loads_no_plugin_because_an_empty_list_is_not_an_absent_one() -> None:
    base = base_environment()
    assert base.stack == Stack.BASE
    assert base.variables == {"VLLM_PLUGINS": "", "USE_FLAGGEMS": "0"}
    assert base.flags == {"VLLM_PLUGINS": "", "USE_FLAGGEMS": "0", "FLAGCX_PATH": None}


def test_full_communicates_through_flagcx_only_where_there_is_something_to_communicate() -> None:
    assert full_environment("/opt/flagcx", 2).flags == {
        "VLLM_PLUGINS": "fl",
        "USE_FLAGGEMS": "1",
        "FLAGCX_PATH": "/opt/flagcx",
    }
    assert full_environment("/opt/flagcx", 1).flags["FLAGCX_PATH"] is None


def test_a_flagcx_that_was_not_installed_is_absent_never_a_placeholder() -> None:
    full = full_environment(None, 8)
    assert full.absent == ("FLAGCX_PATH",)
    assert "FLAGCX_PATH" not in full.variables


def test_no_stack_both_sets_a_variable_and_demands_its_absence() -> None:
    for stack in (base_environment(), full_environment(None, 1), full_environment("/opt/flagcx", 4)):
        assert not set(stack.variables) & set(stack.absent)
        assert set(stack.flags) == {"VLLM_PLUGINS", "USE_FLAGGEMS", "FLAGCX_PATH"}
