"""Greedy outputs of a real card: sound stacks agree within near ties, broken ones do not."""

from __future__ import annotations

import pytest

from container_scripts import output_checks
from container_scripts.output_agreement import compare_outputs
from tests.unit.h200.records import RUNS, answers, compared, log, phase

SOUND = {
    "its repetition, graphs": ("A-1", "A-2", 12),
    "its repetition, eager": ("plugin-a", "plugin-a2", 12),
    "FlagGems without arithmetic, graphs": ("A-1", "Bok-1", 12),
    "FlagGems without arithmetic, eager": ("Aeager-1", "Bokeager-1", 12),
    "the plugin without FlagGems": ("plugin-aG", "plugin-bSRG", 12),
    "the plugin without mul, eager": ("plugin-a", "plugin-dC", 6),
    "the plugin without mul, graphs": ("plugin-aG", "plugin-d2GC", 4),
    "plain vLLM with another attention backend": ("plugin-a", "plugin-aT", 6),
}
BROKEN = {
    "all operators, graphs": ("A-1", "B-1"),
    "all operators, eager": ("Aeager-1", "Beager-1"),
    "all operators, eager, repeated": ("Aeager-1", "Beager-2"),
    "the plugin's defaults, graphs": ("plugin-aG", "plugin-eC"),
}


@pytest.mark.parametrize(("base", "other", "identical"), SOUND.values(), ids=SOUND.keys())
def test_sound_stacks_differ_at_near_ties_only(base: str, other: str, identical: int) -> None:
    agreement = compare_outputs(answers(base), answers(other))
    assert (agreement.verdict, agreement.identical) == ("AGREE", identical)
    assert agreement.near_ties == 12 - identical


@pytest.mark.parametrize(("base", "other"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_operators_diverge_in_every_prompt_or_beyond_a_near_tie(base: str, other: str) -> None:
    agreement = compare_outputs(answers(base), answers(other))
    assert (agreement.verdict, agreement.identical) == ("DIVERGE", 0)


@pytest.mark.parametrize("name", ["B-1", "Beager-1", "Beager-2", "plugin-eC"])
def test_nonsense_is_told_without_a_base_too(name: str) -> None:
    failed = output_checks.failed_gates(output_checks.check_answers(answers(name)))
    assert [reason.split(":")[0] for reason in failed] == ["not_degenerate"]


@pytest.mark.parametrize(
    "name", sorted({name for base, other, _ in SOUND.values() for name in (base, other)})
)
def test_sound_answers_pass_every_gate(name: str) -> None:
    assert output_checks.failed_gates(output_checks.check_answers(answers(name))) == []


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_execution_mode_of_each_run_is_read_from_its_log(name: str) -> None:
    eager = name in {"a", "aT", "b", "bS", "c", "dC", "Aeager", "Beager", "Bokeager"}
    assert "'enforce_eager': True" in log(RUNS[name].log) or not eager
    assert phase(RUNS[name], "serve")["effective_config"]["execution"] == ("eager" if eager else "graphs")


@pytest.mark.parametrize(
    ("base", "other"), [("a", "d2GC"), ("aG", "dC"), ("a", "aG"), ("A", "Bokeager"), ("Aeager", "Bok")]
)
def test_eager_is_never_compared_with_graphs(base: str, other: str) -> None:
    found = compared(base, other)
    assert found.agreement is not None
    assert (found.agreement["verdict"], found.agreement["prompts"]) == ("NOT_COMPARABLE", 0)
    assert (found.conclusion, found.status) == ("BOTH_PASS", "PARTIAL")
    assert any("eager mode" in reason and "graphs mode" in reason for reason in found.reasons)
