"""Arms: which parts of the full stack are tried, and what their results say together."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.assets.release.arms import (
    FLAGCX,
    FLAGGEMS,
    PLUGIN,
    arms_below,
    deciding_phase,
    disagreement,
    find_culprit,
    unstable_prompts,
)
from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import Component

FULL: tuple[Component, ...] = (PLUGIN, FLAGGEMS, FLAGCX)


def output(prompt: str, token: int, gap: float = 3.0) -> dict[str, Any]:
    return {
        "prompt_id": prompt,
        "text": f"word{token} and more",
        "token_ids": [token, 7, 8],
        "logprobs": [-0.1, -0.1, -0.1],
        "top2_gap": [gap, 3.0, 3.0],
        "finish_reason": "stop",
    }


def test_the_arms_are_every_smaller_part_and_never_more_than_three() -> None:
    assert [arm.components for arm in arms_below(FULL)] == [
        (PLUGIN,),
        (PLUGIN, FLAGGEMS),
        (PLUGIN, FLAGCX),
    ]


def test_without_flagcx_the_plugin_alone_decides_because_the_rest_is_the_full_stack() -> None:
    assert [arm.components for arm in arms_below((PLUGIN, FLAGGEMS))] == [(PLUGIN,)]


@pytest.mark.parametrize(
    ("full", "results", "component"),
    [
        (FULL, {(PLUGIN,): "FAIL"}, PLUGIN),
        (FULL, {(PLUGIN,): "PASS", (PLUGIN, FLAGGEMS): "FAIL"}, FLAGGEMS),
        (FULL, {(PLUGIN,): "PASS", (PLUGIN, FLAGGEMS): "PASS", (PLUGIN, FLAGCX): "FAIL"}, FLAGCX),
        ((PLUGIN, FLAGGEMS), {(PLUGIN,): "PASS"}, FLAGGEMS),
    ],
)
def test_the_first_failing_arm_names_what_it_added(full: Any, results: Any, component: str) -> None:
    assert find_culprit(full, results).component == component


def test_what_is_added_to_the_arm_that_works_is_named_although_smaller_arms_cannot_start() -> None:
    results: Any = {(PLUGIN,): "OTHER", (PLUGIN, FLAGGEMS): "PASS", (PLUGIN, FLAGCX): "OTHER"}
    assert find_culprit(FULL, results).component == FLAGCX


def test_arms_that_all_fail_in_other_ways_name_nothing() -> None:
    results: Any = {(PLUGIN,): "OTHER", (PLUGIN, FLAGGEMS): "OTHER", (PLUGIN, FLAGCX): "OTHER"}
    assert find_culprit(FULL, results).component == "unknown"


def model_run(offline: str, serve: str) -> ModelRun:
    return ModelRun.model_validate(
        {
            "step": "run_a_result",
            "vendor": "nvidia",
            "model": "org--toy",
            "status": "PASS",
            "run_id": "run-1",
            "created_at": "2026-11-27T00:00:00Z",
            "stack": "full",
            "phase_a_offline": {"status": offline},
            "phase_b_serve": {"status": serve},
        }
    )


def diverges_in(*phases: str) -> dict[str, Any]:
    found = [{"phase": phase, "kind": "divergence"} for phase in phases]
    return {"first_divergences": [{"phase": "offline", "kind": "near_tie"}, *found]}


@pytest.mark.parametrize(
    ("base", "full", "agreement", "phase"),
    [
        (("PASS", "PASS"), ("FAIL", "FAIL"), None, "offline"),
        (("PASS", "PASS"), ("PASS", "FAIL"), None, "serve"),
        (("FAIL", "PASS"), ("FAIL", "FAIL"), None, "serve"),
        (("PASS", "PASS"), ("PASS", "PASS"), diverges_in("offline", "serve"), "offline"),
        (("PASS", "PASS"), ("PASS", "PASS"), diverges_in("serve"), "serve"),
    ],
)
def test_arms_are_told_apart_by_the_phase_that_base_passed_and_the_full_stack_did_not(
    base: tuple[str, str], full: tuple[str, str], agreement: dict[str, Any] | None, phase: str
) -> None:
    assert deciding_phase(model_run(*base), model_run(*full), agreement) == phase


def test_components_that_pass_alone_and_fail_together_are_an_interaction_not_one_culprit() -> None:
    results: Any = {(PLUGIN,): "PASS", (PLUGIN, FLAGGEMS): "PASS", (PLUGIN, FLAGCX): "PASS"}
    culprit = find_culprit(FULL, results)
    assert culprit.component == "interaction"
    assert FLAGGEMS in culprit.detail and FLAGCX in culprit.detail


def test_another_token_where_base_was_sure_is_a_disagreement_and_at_a_near_tie_it_is_not() -> None:
    assert disagreement([output("a", 1, gap=3.0)], [output("a", 2)]) is not None
    assert disagreement([output("a", 1, gap=0.1)], [output("a", 2)]) is None


def test_only_the_prompts_on_which_base_disagrees_with_itself_are_unstable() -> None:
    first = [output("a", 1), output("b", 1)]
    second = [output("a", 2), output("b", 1)]
    assert unstable_prompts(first, second) == ["a"]
