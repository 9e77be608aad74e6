"""Drift of outputs, packages and scores against the last good result."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.contracts.checks import CheckOutcome, CheckState
from flagrelease_assets.contracts.common import Status
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.deployment.checks import HistorySettings, ToleranceSettings
from flagrelease_assets.drift import judge_accuracy, judge_install, judge_outputs
from tests.unit.checks.history import accuracy, install, past, run_b


def outputs(run: Any, *history: Any, **known: Any) -> CheckOutcome:
    return judge_outputs(run, past(*history, run, **known), HistorySettings())


def test_the_first_run_has_nothing_to_drift_from_and_is_not_green() -> None:
    outcome = outputs(run_b(1))
    assert outcome.state == CheckState.INSUFFICIENT_DATA
    assert outcome.text == "there is no earlier comparable result"


def test_the_same_outputs_are_ok_against_the_last_pass() -> None:
    outcome = outputs(run_b(3), run_b(1), run_b(2))
    assert (outcome.state, outcome.baseline_run) == (CheckState.OK, "run-2")


def test_other_outputs_where_the_model_was_sure_are_an_alert_that_names_the_prompt() -> None:
    outcome = outputs(run_b(3, " Rome."), run_b(1))
    assert outcome.state == CheckState.ALERT
    assert [(figure.subject, figure.value) for figure in outcome.figures] == [("capital", 3.0)]


def test_a_near_tie_is_no_drift() -> None:
    assert outputs(run_b(3, " Paris!"), run_b(1, gap=0.2)).state == CheckState.OK


def test_drifted_outputs_do_not_become_the_baseline_so_the_alert_stays() -> None:
    outcome = outputs(run_b(4, " Rome."), run_b(1), run_b(2, " Rome."), run_b(3, " Rome."))
    assert (outcome.state, outcome.baseline_run) == (CheckState.ALERT, "run-1")


def test_a_run_that_served_alone_is_no_baseline_so_wrong_answers_stay_an_alert() -> None:
    mute = run_b(2, phase_a_offline=None)
    outcome = outputs(run_b(4, " Rome."), run_b(1), mute, run_b(3, " Rome."))
    assert (outcome.state, outcome.baseline_run) == (CheckState.ALERT, "run-1")


def test_a_first_run_that_served_alone_leaves_the_next_one_nothing_to_drift_from() -> None:
    mute = run_b(1, phase_a_offline=None)
    assert outputs(run_b(2), mute).state == CheckState.INSUFFICIENT_DATA
    assert outputs(run_b(3, " Rome."), mute, run_b(2)).state == CheckState.ALERT


def test_outputs_without_a_counterpart_are_not_green() -> None:
    mute = run_b(3, phase_a_offline=None)
    assert outputs(mute, run_b(1)).state == CheckState.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("changes", "known", "reason"),
    [
        ({}, {"revisions": {3: "r2"}}, "1 with another model revision"),
        ({"flags": {"VLLM_PLUGINS": ""}}, {}, "1 with another stack mode"),
        ({"tensor_parallel_size": 2}, {}, "1 with another stack mode"),
    ],
)
def test_only_the_same_revision_and_stack_mode_are_compared(
    changes: dict[str, Any], known: dict[str, Any], reason: str
) -> None:
    outcome = outputs(run_b(3, " Rome.", **changes), run_b(1), **known)
    assert outcome.state == CheckState.INSUFFICIENT_DATA
    assert reason in outcome.text


@pytest.mark.parametrize(
    ("before", "state"),
    [("graphs", CheckState.INSUFFICIENT_DATA), ("eager", CheckState.ALERT), (None, CheckState.ALERT)],
)
def test_outputs_of_eager_mode_did_not_drift_from_those_of_graphs(
    before: str | None, state: CheckState
) -> None:
    def phase(text: str, mode: str | None) -> PhaseDocument | None:
        offline = run_b(1, text).phase_a_offline
        return offline and offline.model_copy(update={"effective_config": {"execution": mode}})

    run = run_b(3, phase_a_offline=phase(" Rome.", "eager"))
    outcome = outputs(run, run_b(1, phase_a_offline=phase(" Paris.", before)))
    assert outcome.state == state
    assert ("1 with another execution mode" in outcome.text) == (before == "graphs")


def packages(document: Any, *history: Any, **settings: Any) -> CheckOutcome:
    return judge_install(document, past(*history, document), HistorySettings(**settings))


def test_unchanged_packages_are_ok() -> None:
    outcome = packages(install(2), install(1))
    assert (outcome.state, outcome.components) == (CheckState.OK, [])


def test_a_reused_installation_is_proven_unchanged_unless_it_had_drifted_when_it_was_measured() -> None:
    reused = {"run_id": "run-8", "reused_from_run": "run-2"}
    second, changed = install(2), install(2, vllm="0.13.1")
    outcome = packages(second.model_copy(update=reused), second)
    assert (outcome.state, outcome.baseline_run) == (CheckState.OK, "run-2")
    assert packages(changed.model_copy(update=reused), install(1), changed).state == CheckState.ALERT


def test_a_package_that_changed_under_us_is_named_with_its_component() -> None:
    outcome = packages(install(2, flaggems="4.3.0"), install(1))
    assert outcome.state == CheckState.ALERT
    assert outcome.text == "flaggems: 4.2.0 from flaggems → 4.3.0 from flaggems"
    assert outcome.components == ["FlagGems"]


def test_a_package_beyond_the_five_is_seen_by_the_environments_digest() -> None:
    outcome = packages(install(2, digest="d2"), install(1))
    assert outcome.state == CheckState.ALERT
    assert outcome.text == "other packages of the environment: digest d1 → digest d2"
    assert outcome.components == ["unknown"]


def test_another_stack_release_is_meant_to_have_other_packages() -> None:
    outcome = packages(install(2, release="vllm-0.14.0", vllm="0.14.0"), install(1))
    assert outcome.state == CheckState.INSUFFICIENT_DATA


def test_a_change_stays_an_alert_until_it_is_accepted_with_a_day_or_undone() -> None:
    first, changed = install(1), install(2, vllm="0.13.1")
    assert packages(install(3, vllm="0.13.1"), first, changed).state == CheckState.ALERT
    assert packages(install(3), first, changed).state == CheckState.OK
    accepted = packages(install(3, vllm="0.13.1"), first, changed, since=changed.created_at.date())
    assert accepted.state == CheckState.OK


def scores(document: Any, *history: Any, **settings: Any) -> CheckOutcome:
    return judge_accuracy(document, past(*history, document), ToleranceSettings(**settings))


@pytest.mark.parametrize(
    ("score", "state"), [(0.6, "ok"), (0.7, "ok"), (0.595, "ok"), (0.59, "alert"), (0.0, "alert")]
)
def test_a_score_may_fall_by_one_per_cent(score: float, state: str) -> None:
    outcome = scores(accuracy(2, score), accuracy(1))
    assert (outcome.state, outcome.baseline_run) == (state, "run-1")


@pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
def test_a_task_without_a_score_is_not_green(score: float | None) -> None:
    outcome = scores(accuracy(2, score), accuracy(1))
    assert outcome.state == CheckState.NOT_APPLICABLE
    assert CheckOutcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_only_a_pass_is_a_baseline() -> None:
    assert scores(accuracy(2), accuracy(1, status=Status.PARTIAL)).state == CheckState.INSUFFICIENT_DATA
