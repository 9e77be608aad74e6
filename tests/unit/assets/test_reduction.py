"""From a failing full stack to its largest part that works: what is searched where, run, and said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from container_scripts.failure_likeness import UNCLEAR, WRONG_OUTPUTS, Behaviour
from flagrelease_assets.assets.release.against_base import AgainstBase
from flagrelease_assets.assets.release.job_report import JobReport
from flagrelease_assets.assets.release.operators import Question
from flagrelease_assets.assets.release.phases import RunPlan
from flagrelease_assets.assets.release.reduction import Reduction, reduce_stack
from flagrelease_assets.assets.release.scope import StepScope
from flagrelease_assets.assets.release.stacks import full_environment
from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import ErrorRecord, PhaseName, Stack, Status, utc_now
from flagrelease_assets.contracts.model_run import PhaseDocument
from flagrelease_assets.deployment import Deployment, LocalWorkerEntry, ModelEntry
from flagrelease_assets.results.store import ResultStore

VARIABLE = "VLLM_FL_FLAGOS_BLACKLIST"
MODEL = ModelEntry(id="org/model")
ACQUITTED = {
    "status": "PARTIAL",
    "reason": "with none of them on it fails in the same way: they are not what makes it fail",
    "operators": 396,
    "starts": 1,
    "trials": [{"number": 1, "operators_on": 0, "outcome": "SAME"}],
}
STOPPED = {
    "status": "PARTIAL",
    "reason": "stopped after 40 engine starts: 40 are allowed",
    "operators": 396,
    "starts": 40,
    "among": ["exp", "exp_"],
}


def phase(name: PhaseName, text: str = " Paris.", mode: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return the document of a phase of the full stack that answered ``text``."""
    output = {
        "prompt_id": "capital",
        "text": text,
        "token_ids": [ord(letter) for letter in text],
        "logprobs": [-0.1] * len(text),
        "top2_gap": [3.0] * len(text),
        "finish_reason": "stop",
    }
    return {
        "status": "PASS",
        "phase": name,
        "outputs" if name == "offline" else "requests": [output],
        "effective_config": {"execution": mode} if mode else {},
        "stack_requested": {"stack": "full"},
        "stack_observed": {"plugins_loaded": ["fl"], "flaggems_record": ["flag_gems.ops.exp"]},
        **changes,
    }


def guilty(name: str, value: str, works_in: PhaseName) -> dict[str, Any]:
    """Return what the search leaves that found one operator."""
    return {
        "status": "PASS",
        "reason": "the whole works without them, and each alone makes it fail",
        "operators": 397,
        "guilty": [[name]],
        "verified": True,
        "variable": VARIABLE,
        "value": value,
        "starts": 12,
        "without_guilty": phase(works_in),
    }


def run(stack: Stack, **phases: Any) -> ModelRun:
    return ModelRun(
        step="run_a_result" if stack == Stack.BASE else "run_b_result",
        vendor="nvidia",
        model=MODEL.key,
        run_id="r",
        created_at=utc_now(),
        status=Status.PASS,
        stack=stack,
        phase_a_offline=PhaseDocument.model_validate(phases.get("offline") or phase("offline")),
        phase_b_serve=PhaseDocument.model_validate(phases.get("serve") or phase("serve")),
    )


@dataclass
class AnsweringScopeDouble(StepScope):
    """A scope whose jobs leave the documents that a test gave them; faithful in all that is asked of them."""

    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run_job(self, name: str, program: str, arguments: list[str], kind: Any, **asked: Any) -> Any:
        assert name not in self.asked, f"{name} would overwrite the logs of another job"
        self.asked[name] = {"program": program, "arguments": arguments, **asked}
        document = kind.model_validate(self.answers[name])
        error = None
        if document.status == "FAIL":
            record = {"step": self.step, "phase": name, "layer": "X", "component": "unknown"}
            error = ErrorRecord(**record, category="unknown", cause=document.error)
        return JobReport(outcome=None, document=document, error=error)  # type: ignore[arg-type]  # none ran

    def case(self, job: str) -> dict[str, Any]:
        """What a search was told."""
        case: dict[str, Any] = json.loads(self.asked[job]["inputs"]["case.json"])
        return case


@pytest.fixture
def scope(tmp_path: Path) -> AnsweringScopeDouble:
    entry = LocalWorkerEntry(work_root=str(tmp_path / "worker"))
    return AnsweringScopeDouble(
        step="diff_analysis",
        vendor="nvidia",
        model=MODEL.key,
        run_id="r",
        load_deployment=lambda: Deployment(workers={"nvidia": entry}, models=[MODEL]),
        store=ResultStore(str(tmp_path / "results")),
        upstream={},
        emit=lambda line: None,
    )


def reduce(
    scope: AnsweringScopeDouble,
    answers: dict[str, Mapping[str, Any]],
    first: PhaseName = "offline",
    run_a: ModelRun | None = None,
    failure: Behaviour | None = None,
) -> Reduction:
    """Reduce a full stack that answers nonsense in the ``first`` phase."""
    base = AgainstBase(run_a or run(Stack.BASE))
    scope.answers = answers
    plan = RunPlan("/models/m", MODEL, 1, full_environment(None, 1), job_prefix="search-")
    failure = failure or Behaviour(WRONG_OUTPUTS, "1 of 1 prompts differ")
    question = Question(plan, first, base.reference(first), failure, ran=[])
    return reduce_stack(scope, question, base, run(Stack.FULL, **{first: phase(first, "!!!!!!!!")}))


def both_guilty(**changes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the answers where `mul` is guilty offline, and `exp` when serving."""
    return {
        "operator-search": guilty("mul", "mul,index_put", "offline"),
        "reduced-serve": phase("serve", " London!"),
        "operator-search-serve": guilty("exp", "exp,mul,index_put", "serve"),
        "reduced-offline": phase("offline"),
        **changes,
    }


def test_an_operator_of_each_phase_is_found_and_the_stack_without_both_is_proven_in_both_phases(
    scope: AnsweringScopeDouble,
) -> None:
    reduction = reduce(scope, both_guilty())
    assert list(scope.asked) == [
        "operator-search",
        "reduced-serve",
        "operator-search-serve",
        "reduced-offline",
    ]
    reduced = reduction.fields["reduced_stack"]
    assert reduction.fields["recommended_stack"] == Stack.REDUCED
    assert (reduced.works, reduced.operators_off) == (True, ["mul", "exp"])
    assert reduced.flags[VARIABLE] == "exp,mul,index_put"
    assert scope.asked["reduced-offline"]["env"][VARIABLE] == "exp,mul,index_put"
    assert any("without mul does not work when serving: 1 of 2 prompts" in said for said in reduction.said)
    assert any("searched on when serving, without mul: FlagGems' exp" in said for said in reduction.said)


def test_the_further_search_asks_for_the_same_failure_of_the_reduced_stack_in_the_other_phase(
    scope: AnsweringScopeDouble,
) -> None:
    reduce(scope, both_guilty())
    asked, case = scope.asked["operator-search-serve"], scope.case("operator-search-serve")
    assert asked["env"][VARIABLE] == "mul,index_put", "the first search's operators are left out already"
    assert asked["arguments"][asked["arguments"].index("--program") + 1] == "test_serve_mode"
    assert case["failure"]["kind"] == WRONG_OUTPUTS
    assert case["base"] == phase("serve")["requests"]
    assert case["ran"] == ["flag_gems.ops.exp"]


def test_an_error_of_the_reduced_stack_is_what_the_further_search_looks_for(
    scope: AnsweringScopeDouble,
) -> None:
    failed = {"status": "FAIL", "phase": "serve", "error": "RuntimeError: exp: illegal address"}
    reduction = reduce(scope, both_guilty(**{"reduced-serve": failed}))
    assert scope.case("operator-search-serve")["failure"] == {
        "kind": "ERROR",
        "reason": "RuntimeError: exp: illegal address",
    }
    assert reduction.fields["reduced_stack"].works


def test_a_stack_that_failed_when_serving_is_searched_on_offline(scope: AnsweringScopeDouble) -> None:
    answers: dict[str, Mapping[str, Any]] = {
        "operator-search": guilty("exp", "exp", "serve"),
        "reduced-offline": phase("offline", " London!"),
        "operator-search-offline": guilty("mul", "mul,exp", "offline"),
        "reduced-serve": phase("serve"),
    }
    reduction = reduce(scope, answers, first="serve")
    assert reduction.fields["reduced_stack"].operators_off == ["exp", "mul"]
    assert reduction.fields["reduced_stack"].works
    assert any("without exp does not work offline" in said for said in reduction.said)


def test_a_reduced_stack_that_works_is_not_searched_again(scope: AnsweringScopeDouble) -> None:
    reduction = reduce(scope, both_guilty(**{"reduced-serve": phase("serve")}))
    assert list(scope.asked) == ["operator-search", "reduced-serve"]
    assert "further_search" not in reduction.fields
    assert reduction.fields["reduced_stack"].operators_off == ["mul"]


def test_a_stack_that_serves_but_breaks_down_offline_is_searched_on_and_not_taken_for_working(
    scope: AnsweringScopeDouble,
) -> None:
    broken = {"status": "FAIL", "phase": "offline", "error": "RuntimeError: mul: illegal address"}
    answers: dict[str, Mapping[str, Any]] = {
        "operator-search": guilty("exp", "exp", "serve"),
        "reduced-offline": broken,
        "operator-search-offline": STOPPED,
    }
    reduction = reduce(scope, answers, first="serve")
    assert "operator-search-offline" in scope.asked
    assert not reduction.fields["reduced_stack"].works
    assert "recommended_stack" not in reduction.fields
    assert any("does not work offline: RuntimeError: mul" in said for said in reduction.said)


def test_a_stack_whose_answers_cannot_be_compared_is_not_taken_for_working(
    scope: AnsweringScopeDouble,
) -> None:
    modes = {name: phase(name, mode="graphs") for name in ("offline", "serve")}
    found = {**guilty("mul", "mul", "offline"), "without_guilty": phase("offline", mode="eager")}
    answers: dict[str, Mapping[str, Any]] = {
        "operator-search": found,
        "reduced-serve": phase("serve", mode="eager"),
    }
    reduction = reduce(scope, answers, run_a=run(Stack.BASE, **modes))
    assert not reduction.fields["reduced_stack"].works
    assert "recommended_stack" not in reduction.fields
    assert "within one mode" in reduction.said[-1]


def test_a_stack_that_fails_without_both_is_not_searched_a_third_time(scope: AnsweringScopeDouble) -> None:
    reduction = reduce(scope, both_guilty(**{"reduced-offline": phase("offline", " London!")}))
    assert len(scope.asked) == 4
    assert "recommended_stack" not in reduction.fields
    assert reduction.fields["reduced_stack"].operators_off == ["mul", "exp"]
    assert not reduction.fields["reduced_stack"].works
    assert "without mul, exp does not work offline" in reduction.said[-1]


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (ACQUITTED, "with none of them on it fails in the same way"),
        (STOPPED, "the guilty operator is one of 2 (40 engine starts over 396 operators): stopped after 40"),
        ({"status": "FAIL", "error": "RuntimeError: cannot be listed"}, "cannot be listed"),
    ],
)
def test_a_further_search_that_proves_nothing_says_so_and_leaves_what_was_found(
    scope: AnsweringScopeDouble, left: dict[str, Any], words: str
) -> None:
    reduction = reduce(scope, both_guilty(**{"operator-search-serve": left}))
    assert reduction.fields["operator_search"].names == ["mul"]
    assert reduction.fields["reduced_stack"].operators_off == ["mul"]
    assert "recommended_stack" not in reduction.fields, "only base is proven to work in both phases"
    assert "multichip_component" not in reduction.fields, "FlagGems was proven guilty in the first phase"
    assert any(said.startswith("searched on when serving") and words in said for said in reduction.said)
    assert reduction.said[-1] == "what was found before stays: FlagGems' mul"


def test_a_stack_that_was_not_active_is_not_searched_for_operators(scope: AnsweringScopeDouble) -> None:
    reduction = reduce(scope, both_guilty(**{"reduced-serve": phase("serve", stack_observed={})}))
    assert list(scope.asked) == ["operator-search", "reduced-serve"]
    assert "without mul does not work: serve: no evidence" in reduction.said[-1]


def test_a_search_is_told_the_mode_in_which_base_ran_that_phase(scope: AnsweringScopeDouble) -> None:
    run_a = run(Stack.BASE, offline=phase("offline", mode="eager"), serve=phase("serve", mode="graphs"))
    reduce(scope, both_guilty(), run_a=run_a)
    assert scope.case("operator-search")["execution"] == "eager"
    assert scope.case("operator-search-serve")["execution"] == "graphs"


def test_a_failure_that_cannot_be_told_from_another_starts_no_engine(scope: AnsweringScopeDouble) -> None:
    reduction = reduce(scope, {}, failure=Behaviour(UNCLEAR, "base ran in eager mode"))
    assert scope.asked == {}
    assert reduction.said == ["no operator is searched for: base ran in eager mode"]
