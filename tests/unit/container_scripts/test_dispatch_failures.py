"""What the plugin's dispatcher says of implementations that fail one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.dispatch_failures import first_failure
from container_scripts.error_layers import classify_text
from container_scripts.log_reading import cut_blocks, read_lines

SPEAKER = "(EngineCore pid=7) [2026-01-02 03:04:05] [{level}] [vllm_fl.dispatch.manager] "


def tried(implementation: str, operator: str = "silu", said: str = "shapes differ") -> str:
    return SPEAKER.format(level="WARNING") + (
        f"Implementation '{implementation}' failed for op '{operator}': {said}\n"
    )


def last(implementation: str, operator: str = "silu", said: str = "no kernel") -> str:
    return SPEAKER.format(level="ERROR") + (
        f"Last implementation '{implementation}' failed for op '{operator}': {said}\n"
    )


def raised(path: str) -> str:
    frame = f'  File "{path}", line 3, in silu\n    x\n'
    return f"Traceback (most recent call last):\n{frame}RuntimeError: no kernel\n"


def component(text: str) -> str | None:
    found = first_failure(read_lines("log", cut_blocks(text)))
    return found.component if found else None


WRONG_CALL = "silu() got an unexpected keyword argument 'x'"
TRIED = {
    "FlagGems first": (tried("default.flagos") + last("vendor.cuda"), "FlagGems"),
    "FlagGems last": (tried("vendor.cuda") + last("default.flagos"), "vllm-plugin-FL"),
    "FlagGems only": (last("default.flagos"), "FlagGems"),
    "vendor only": (last("vendor.cuda"), "vllm-plugin-FL"),
    "called wrongly": (tried("default.flagos", said=WRONG_CALL) + last("vendor.cuda"), "vllm-plugin-FL"),
    "the fallback worked": (tried("default.flagos"), None),
    "another operator's fallback worked": (
        tried("default.flagos", "rope") + last("vendor.cuda"),
        "vllm-plugin-FL",
    ),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "expected"), TRIED.values(), ids=TRIED.keys())
def test_the_implementation_that_failed_first_says_whose_failure_it_is(
    text: str, expected: str | None
) -> None:
    assert component(text) == expected


def test_a_fallback_that_fails_in_the_plugins_code_does_not_hide_flaggems() -> None:
    text = tried("default.flagos") + last("vendor.cuda") + raised("/x/site-packages/vllm_fl/dispatch/cuda.py")
    found = classify_text(text)
    assert (found.layer, found.component, found.category) == ("4", "FlagGems", "flaggems")
    assert "shapes differ" in found.cause


def test_a_program_that_went_on_and_ended_elsewhere_is_judged_by_its_end() -> None:
    text = tried("default.flagos") + last("vendor.cuda") + raised("/x/site-packages/transformers/model.py")
    assert classify_text(text).component != "FlagGems"


@given(st.lists(st.sampled_from([tried("default.flagos"), last("vendor.cuda"), "noise\n", "\x1b[1m'\n"])))
def test_without_a_last_failure_nobody_is_blamed(parts: list[str]) -> None:
    assert (component("".join(parts)) is None) == (last("vendor.cuda") not in parts)
