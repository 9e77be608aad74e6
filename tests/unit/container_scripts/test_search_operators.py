"""The search for guilty operators: the real program, starting engines of the vLLM double."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import vllm_on_path

FLAG_GEMS = Path(__file__).parents[2] / "doubles" / "flag_gems_double"


@pytest.fixture
def base(tmp_path: Path) -> list[dict[str, Any]]:
    _, document = vllm_on_path.run("run_offline_inference", tmp_path / "base.json", "--model", "m")
    outputs: list[dict[str, Any]] = document["outputs"]
    return outputs


def search(
    folder: Path,
    base: list[dict[str, Any]],
    guilty: str = "mul",
    mode: str = "garbled",
    failure: dict[str, str] | None = None,
    flags: tuple[str, ...] = (),
    set_before: str = "",
    **known: Any,
) -> dict[str, Any]:
    """Run the program against a double whose full stack fails in ``mode`` while ``guilty`` is on."""
    case = {
        "base": base,
        "failure": failure or {"kind": "WRONG_OUTPUTS", "reason": "5 of 5 answers are degenerate"},
        "arguments": ["--model", "m", "--stack", "full"],
        "kept": ["rms_norm"],
        **known,
    }
    (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
    paths = [str(vllm_on_path.DOUBLE), str(vllm_on_path.PROJECT), str(FLAG_GEMS)]
    _, document = vllm_on_path.run(
        "search_operators",
        folder / "search.json",
        *("--case", str(folder / "case.json"), "--variable", "VLLM_FL_FLAGOS_BLACKLIST"),
        *("--scratch", str(folder / "engines"), "--probe-timeout", "60", "--timeout", "100"),
        *flags,
        PYTHONPATH=os.pathsep.join(paths),
        VLLM_PLUGINS="fl",
        VLLM_FL_FLAGOS_BLACKLIST=set_before,
        VLLM_DOUBLE_MODE_WITH_PLUGINS=mode,
        VLLM_DOUBLE_GUILTY_OPERATORS=guilty,
    )
    return document


def test_the_guilty_operator_is_named_and_the_stack_without_it_is_proven(
    tmp_path: Path, base: list[dict[str, Any]]
) -> None:
    found = search(tmp_path, base, flags=("--at-once", "3"))
    assert found["status"] == "PASS", found
    assert found["guilty"] == [["mul"]]
    assert found["value"] == "mul"
    assert found["without_guilty"]["status"] == "PASS"
    assert found["operators"] == 39  # rms_norm is kept, the second registration of mul is the same function
    [alone] = [trial for trial in found["trials"] if trial["on"] == ["mul"]]
    [all_but] = [trial for trial in found["trials"] if trial["off"] == ["mul"]]
    assert (alone["outcome"], all_but["outcome"]) == ("SAME", "PASS")
    assert "rms_norm" not in str(found["trials"])


def test_what_was_guilty_before_takes_three_engine_starts(tmp_path: Path, base: list[dict[str, Any]]) -> None:
    found = search(tmp_path, base, suspects=["mul"], flags=("--at-once", "3"))
    assert (found["guilty"], found["verified"], found["starts"]) == ([["mul"]], True, 3)


def test_a_start_up_error_is_searched_by_its_identity(tmp_path: Path, base: list[dict[str, Any]]) -> None:
    error = {"kind": "ERROR", "reason": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"}
    found = search(tmp_path, base, mode="oom", failure=error, flags=("--at-once", "3"), suspects=["mul"])
    assert found["guilty"] == [["mul"]], found["trials"]


def test_an_engine_that_fails_in_another_way_accuses_no_operator(
    tmp_path: Path, base: list[dict[str, Any]]
) -> None:
    found = search(tmp_path, base, mode="oom", flags=("--at-once", "4", "--most-starts", "9"))
    assert found["status"] == "PARTIAL"
    assert found["guilty"] == []
    assert {trial["outcome"] for trial in found["trials"]} <= {"PASS", "OTHER"}


def test_the_number_of_engine_starts_is_never_exceeded_and_what_is_known_is_kept(
    tmp_path: Path, base: list[dict[str, Any]]
) -> None:
    found = search(tmp_path, base, flags=("--most-starts", "4"))
    assert found["starts"] == 4
    assert found["status"] == "PARTIAL"
    assert "mul" in found["among"]
    assert len(found["among"]) < 39


def test_a_plugin_list_that_was_set_before_stays_off(tmp_path: Path, base: list[dict[str, Any]]) -> None:
    found = search(tmp_path, base, set_before="operator_03", suspects=["mul"], flags=("--at-once", "3"))
    assert found["left_out_before"] == ["operator_03"]
    assert (found["guilty"], found["value"]) == ([["mul"]], "mul,operator_03")
    assert found["operators"] == 38


def test_what_an_earlier_search_found_stays_off_in_every_engine_and_in_the_value(
    tmp_path: Path, base: list[dict[str, Any]]
) -> None:
    found = search(tmp_path, base, guilty="mul,operator_07", set_before="mul", flags=("--at-once", "7"))
    assert (found["guilty"], found["verified"]) == ([["operator_07"]], True), found["trials"]
    assert found["value"] == "operator_07,mul"
    assert found["left_out_before"] == ["mul"]


def test_a_case_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text('{"base": []}', encoding="utf-8")
    code, document = vllm_on_path.run(
        "search_operators",
        tmp_path / "search.json",
        *("--case", str(tmp_path / "case.json"), "--variable", "X"),
        *("--scratch", str(tmp_path), "--probe-timeout", "60", "--timeout", "100"),
    )
    assert code == 1
    assert "case.json is not a case of a search" in document["error"]
