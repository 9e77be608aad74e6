"""The truth table of two runs, with documents of every shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.diff_analysis import analyse

ROOT = Path(__file__).parents[3]
PASS: dict[str, Any] = {"status": "PASS"}
OOM = {"status": "FAIL", "error": "torch.OutOfMemoryError: CUDA out of memory."}
GEMS_TRACE = (
    'Traceback (most recent call last):\n  File "/a/site-packages/flag_gems/ops/mm.py", line 3, in mm\n'
    "    x\nNotImplementedError: mm"
)
GEMS = {
    "status": "FAIL",
    "error": "Engine core initialization failed. See root cause above.",
    "traceback": GEMS_TRACE,
}
FULL = {"stack": "full", "env": {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1"}}
ACTIVE = {"vllm_platform": "vllm_fl.platform.PlatformFL", "plugins_loaded": ["fl"], "flaggems_ops": 42}


def phase(text: str = "Paris", status: str = "PASS", **more: Any) -> dict[str, Any]:
    tokens = [ord(letter) for letter in text]
    outputs = [{"prompt_id": "p", "text": text, "token_ids": tokens, "top2_gap": [3.0] * len(tokens)}]
    return {"status": status, "phase": "offline", "outputs": outputs, "error": None, **more}


def run(offline: Any, serve: Any) -> dict[str, Any]:
    return {"phase_a_offline": offline, "phase_b_serve": serve}


@pytest.mark.parametrize(
    ("a", "b", "conclusion", "stack", "status"),
    [
        (PASS, PASS, "BOTH_PASS", "full", "PASS"),
        (PASS, GEMS, "MULTICHIP_ERROR", "base", "PARTIAL"),
        (OOM, OOM, "SAME_ERROR", "none", "FAIL"),
        (OOM, GEMS, "DIFFERENT_ERRORS", "none", "FAIL"),
        (GEMS, PASS, "UNEXPECTED", "full", "PARTIAL"),
        (PASS, {"status": "SKIPPED"}, "SKIPPED", "base", "PARTIAL"),
        (OOM, {"status": "SKIPPED"}, "SKIPPED", "none", "FAIL"),
        ({"status": "SKIPPED"}, PASS, "SKIPPED", "full", "PARTIAL"),
        (PASS, None, "MISSING_RESULT", "base", "PARTIAL"),
        (None, PASS, "MISSING_RESULT", "none", "FAIL"),
        ({}, {}, "MISSING_RESULT", "none", "FAIL"),
        (PASS, {"status": "PASSED"}, "MISSING_RESULT", "base", "PARTIAL"),
        ({"status": "FAIL"}, {"status": "FAIL"}, "MISSING_RESULT", "none", "FAIL"),
        ([], "text", "MISSING_RESULT", "none", "FAIL"),
    ],
)
def test_truth_table(a: Any, b: Any, conclusion: str, stack: str, status: str) -> None:
    found = analyse(a, b)
    assert (found["conclusion"], found["recommended_stack"], found["status"]) == (conclusion, stack, status)


def test_component_comes_from_the_traceback_although_the_error_is_generic() -> None:
    found = analyse(PASS, GEMS)
    assert found["multichip_component"] == "FlagGems"
    assert found["errors"][0]["layer"] == "4"


def test_plugin_is_named_as_the_analysis_document_names_it() -> None:
    error = {"status": "FAIL", "error": "ImportError: cannot import name 'x' from 'vllm_fl.dispatch'"}
    assert analyse(PASS, error)["multichip_component"] == "plugin"


def test_no_component_is_blamed_for_memory() -> None:
    found = analyse(PASS, OOM)
    assert found["multichip_component"] == "unknown"
    assert "memory" in found["reasons"][0]


def test_pids_do_not_make_two_errors() -> None:
    a = {"status": "FAIL", "error": "worker pid=123 died"}
    b = {"status": "FAIL", "error": "worker pid=456 died"}
    assert analyse(a, b)["conclusion"] == "SAME_ERROR"


def test_tracebacks_tell_two_errors_apart_where_no_error_line_exists() -> None:
    a = {"status": "FAIL", "error": None, "traceback": "torch.OutOfMemoryError: CUDA out of memory."}
    b = {"status": "FAIL", "error": None, "traceback": GEMS_TRACE}
    assert analyse(a, b)["conclusion"] == "DIFFERENT_ERRORS"


def test_rubbish_from_the_full_stack_is_a_divergence() -> None:
    found = analyse(phase("Paris"), phase("!!!!!"))
    assert (found["conclusion"], found["recommended_stack"]) == ("OUTPUT_DIVERGENCE", "base")
    assert found["status"] == "PARTIAL"


def served(text: str = "Paris", status: str = "PASS", **more: Any) -> dict[str, Any]:
    document = phase(text, status, **more)
    return {**document, "phase": "serve", "requests": document.pop("outputs")}


def test_a_server_that_answers_otherwise_is_a_divergence_although_the_offline_outputs_agree() -> None:
    found = analyse(run(phase(), served()), run(phase(), served("Lyon!")))
    assert (found["conclusion"], found["recommended_stack"]) == ("OUTPUT_DIVERGENCE", "base")
    assert found["agreement"]["prompts"] == 2
    assert [one["phase"] for one in found["agreement"]["first_divergences"]] == ["serve"]


def test_offline_outputs_are_never_held_against_served_answers() -> None:
    without_offline = {"status": "TIMEOUT", "phase": "offline", "outputs": []}
    found = analyse(run(phase("Paris"), PASS), run(without_offline, served("Lyon!")))
    assert (found["conclusion"], found["status"]) == ("BOTH_PASS", "PARTIAL")
    assert found["agreement"]["verdict"] == "NOT_COMPARABLE"
    agrees = analyse(run(phase("Rome!"), served()), run(without_offline, served()))
    assert agrees["agreement"]["verdict"] == "AGREE"


def test_sample_texts_are_compared_too() -> None:
    a, b = {"status": "PASS", "output_sample": "Paris"}, {"status": "PASS", "output_sample": "!!!!"}
    assert analyse(a, b)["conclusion"] == "OUTPUT_DIVERGENCE"


def test_outputs_that_cannot_be_compared_are_no_quiet_pass() -> None:
    found = analyse(phase(), {**phase(), "outputs": []})
    assert (found["conclusion"], found["status"]) == ("BOTH_PASS", "PARTIAL")


@pytest.mark.parametrize(
    ("mode_a", "mode_b", "conclusion"),
    [
        ("eager", "eager", "OUTPUT_DIVERGENCE"),
        ("eager", None, "OUTPUT_DIVERGENCE"),
        ("eager", "graphs", "BOTH_PASS"),
        ("graphs", "eager", "BOTH_PASS"),
    ],
)
def test_outputs_of_two_execution_modes_are_never_compared(
    mode_a: str | None, mode_b: str | None, conclusion: str
) -> None:
    a, b = (
        phase(text, effective_config={"execution": mode})
        for text, mode in (("Paris", mode_a), ("Rome", mode_b))
    )
    found = analyse(a, b)
    assert (found["conclusion"], found["status"]) == (conclusion, "PARTIAL")
    compared = conclusion == "OUTPUT_DIVERGENCE"
    assert (found["agreement"]["verdict"] == "DIVERGE") == compared
    assert any("within one mode" in reason for reason in found["reasons"]) != compared


def test_answers_judged_as_nonsense_are_a_divergence_although_the_log_holds_a_traceback() -> None:
    judged = {
        "error": "not_degenerate: 5 of 5",
        "category": "empty_or_garbled",
        "checks": {"not_degenerate": {"ok": False, "detail": "5 of 5"}},
        "traceback": GEMS_TRACE,
    }
    assert analyse(phase(), {**phase("aaaa", "FAIL"), **judged})["conclusion"] == "OUTPUT_DIVERGENCE"


def test_full_run_without_evidence_of_the_plugin_is_not_active() -> None:
    silent = phase(stack_requested=FULL, stack_observed={"plugins_loaded": [], "flaggems_ops": 0})
    found = analyse(phase(), silent)
    assert (found["conclusion"], found["recommended_stack"]) == ("STACK_NOT_ACTIVE", "base")
    assert found["multichip_component"] == "plugin"


def test_empty_operator_list_is_not_an_active_flaggems() -> None:
    empty = phase(stack_requested=FULL, stack_observed={**ACTIVE, "flaggems_ops": 0})
    assert analyse(phase(), empty)["multichip_component"] == "FlagGems"


def test_active_full_stack_with_like_outputs_is_recommended() -> None:
    active = phase(stack_requested=FULL, stack_observed=ACTIVE)
    found = analyse(phase(), active)
    assert (found["conclusion"], found["status"]) == ("BOTH_PASS", "PASS")


def test_plugin_in_the_base_run_is_a_finding() -> None:
    base = phase(stack_requested={"stack": "base", "env": {"VLLM_PLUGINS": ""}}, stack_observed=ACTIVE)
    found = analyse(base, phase())
    assert found["status"] == "PARTIAL"
    assert any("base run" in reason for reason in found["reasons"])


def test_serve_failure_of_the_full_run_counts() -> None:
    found = analyse(run(phase(), phase()), run(phase(), {**GEMS, "phase": "serve"}))
    assert (found["conclusion"], found["recommended_stack"]) == ("MULTICHIP_ERROR", "base")


def test_serving_base_with_failed_offline_phase_passes_with_a_finding() -> None:
    found = analyse(run(OOM, phase()), run(phase(), phase()))
    assert found["run_a_status"] == "PASS"
    assert (found["conclusion"], found["status"]) == ("BOTH_PASS", "PARTIAL")
    assert found["errors"][0]["category"] == "oom"


def test_missing_serve_phase_is_missing_not_pass() -> None:
    assert analyse(run(phase(), None), run(phase(), phase()))["conclusion"] == "MISSING_RESULT"


def test_timeouts_on_both_sides_are_the_same_error() -> None:
    late = {"status": "TIMEOUT", "error": None, "traceback": None}
    assert analyse(late, late)["conclusion"] == "SAME_ERROR"


def test_port_in_use_is_told_as_the_harness() -> None:
    found = analyse(PASS, {"status": "FAIL", "error": "port_in_use: 8000"})
    assert found["errors"][0]["layer"] == "X"
    assert any("harness" in reason for reason in found["reasons"])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(
    ["status", "error", "traceback", "phase", "outputs", "exit", "checks", "log_tail", "skipped"]
) | st.sampled_from(
    ["stack_requested", "stack_observed", "phase_a_offline", "phase_b_serve", "output_sample"]
)
DOCUMENT = JSON | st.dictionaries(KEYS, JSON | st.sampled_from(["PASS", "FAIL", "SKIPPED"]))


@given(DOCUMENT, DOCUMENT)
def test_any_document_gets_a_structured_answer(a: Any, b: Any) -> None:
    found = analyse(a, b)
    assert found["recommended_stack"] in {"full", "base", "none"}
    assert json.dumps(found)


@given(DOCUMENT)
def test_a_failing_run_compared_with_itself_never_has_different_errors(document: Any) -> None:
    assert analyse(document, document)["conclusion"] != "DIFFERENT_ERRORS"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"status": "PASS"}'])
def test_program_answers_whatever_the_files_hold(tmp_path: Path, content: str | None) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text('{"status": "PASS"}')
    if content is not None:
        b.write_text(content)
    script = ROOT / "container_scripts" / "diff_analysis.py"
    command = [sys.executable, str(script), "--run-a", str(a), "--run-b", str(b)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    document = json.loads(finished.stdout.splitlines()[-1])
    expected = "BOTH_PASS" if content == '{"status": "PASS"}' else "MISSING_RESULT"
    assert (document["conclusion"], document["program"]) == (expected, "diff_analysis")
