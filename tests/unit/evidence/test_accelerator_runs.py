"""The kept documents of the accelerator runs: still readable, and judged by the present rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from container_scripts.diff_analysis import analyse
from flagrelease_assets.contracts import (
    STEP_DOCUMENTS,
    BenchmarkMetrics,
    DiffAnalysis,
    InstallStatus,
    StepDocument,
)
from flagrelease_assets.verdict import release_verdict

EVIDENCE = Path(__file__).parents[3] / "docs" / "evidence"
FULL_SIZES = [(256, 128, 100), (4096, 128, 100), (256, 1024, 100), (4096, 1024, 100), (1024, 512, 500)]
KEPT = sorted(EVIDENCE.rglob("*.json"))


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def document(path: Path) -> StepDocument:
    content = load(path)
    return TypeAdapter(STEP_DOCUMENTS[content["step"]]).validate_python(content)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_kept_document_can_still_be_read(path: Path) -> None:
    assert document(path).vendor == "nvidia"


def test_answers_that_are_nonsense_are_a_divergence_and_base_is_released() -> None:
    pilot = EVIDENCE / "h100-pilot"
    found = analyse(load(pilot / "run_a_result.json"), load(pilot / "run_b_result.json"))
    assert (found["conclusion"], found["recommended_stack"], found["status"]) == (
        "OUTPUT_DIVERGENCE",
        "base",
        "PARTIAL",
    )


def test_the_product_named_the_operator_by_itself_and_recommended_only_what_it_saw_working() -> None:
    diff = document(EVIDENCE / "h100-eager" / "diff_analysis.json")
    assert isinstance(diff, DiffAnalysis)
    assert (diff.conclusion, diff.multichip_component) == ("MULTICHIP_ERROR", "FlagGems")
    assert [arm.verdict for arm in diff.arms] == ["OTHER"]
    search, reduced = diff.operator_search, diff.reduced_stack
    assert search is not None and reduced is not None
    assert (search.guilty, search.verified, search.starts) == ([["mul"]], True, 21)
    assert reduced.works
    assert reduced.flags[search.variable] == "mul"


def test_an_operator_found_before_is_tried_first_and_proven_again() -> None:
    diff = document(EVIDENCE / "h100-graphs" / "diff_analysis.json")
    assert isinstance(diff, DiffAnalysis)
    assert (diff.conclusion, diff.multichip_component) == ("OUTPUT_DIVERGENCE", "FlagGems")
    search = diff.operator_search
    assert search is not None
    assert (search.guilty, search.verified, search.starts) == ([["mul"]], True, 3)
    assert {trial.operators_on: trial.outcome for trial in search.trials} == {
        0: "PASS",
        1: "SAME",
        search.operators - 1: "PASS",
    }


def test_a_reduced_stack_that_answers_nonsense_when_served_is_not_recommended_whatever_it_does_offline() -> (
    None
):
    graphs = EVIDENCE / "h100-graphs"
    diff = document(graphs / "diff_analysis.json")
    assert isinstance(diff, DiffAnalysis)
    assert diff.reduced_stack is not None
    assert (diff.reduced_stack.works, diff.recommended_stack) == (False, "base")
    divergences = (diff.reduced_stack.agreement or {})["first_divergences"]
    assert {one["phase"] for one in divergences if one["kind"] != "near_tie"} == {"serve"}


def test_the_graphs_of_the_refused_stack_were_those_that_the_full_stack_had_compiled() -> None:
    logs = EVIDENCE / "h100-graphs" / "logs"
    saved, loaded = (
        re.search(rf"{words} .*torch_aot_compile/(\w+)", (logs / name).read_text())
        for words, name in (
            ("saved AOT compiled function to", "run-b-serve-compilation.log"),
            ("Directly load AOT compilation from path", "reduced-serve-compilation.log"),
        )
    )
    assert saved is not None
    assert loaded is not None
    assert saved.group(1) == loaded.group(1)


def test_the_conclusion_names_component_and_operator() -> None:
    folder = EVIDENCE / "h100-graphs"
    kept = {path.stem: document(path) for path in folder.glob("*.json") if path.stem != "release_report"}
    verdict = release_verdict(kept)
    assert verdict.status == "PARTIAL"
    assert verdict.conclusion == (
        "Releasable on the base stack, with findings: FlagGems (mul) makes the full stack fail."
    )


def test_all_five_profiles_of_base_were_measured_at_full_size() -> None:
    benchmark = document(EVIDENCE / "h100-graphs" / "benchmark_metrics.json")
    assert isinstance(benchmark, BenchmarkMetrics)
    measured = benchmark.performance.profiles
    assert [profile.status for profile in measured] == ["PASS"] * 5
    assert [(one.input_len, one.output_len, one.num_prompts) for one in measured] == FULL_SIZES
    assert [one.metrics["total_output_tokens"] for one in measured] == [out * n for _, out, n in FULL_SIZES]


def test_an_installation_without_any_index_proved_what_the_image_brought() -> None:
    install = document(EVIDENCE / "h100-eager" / "install_status.json")
    assert isinstance(install, InstallStatus)
    assert install.wheelhouse is not None
    assert install.packages["vllm"].preinstalled == {"torch": "2.11.0", "triton": "3.6.0"}


@pytest.mark.parametrize("path", sorted((EVIDENCE / "h100-eager" / "failures").glob("*.json")))
def test_no_failure_kept_any_device_memory(path: Path) -> None:
    traces = [job.devices for job in document(path).jobs if job.devices]
    assert all(trace.before_mb == trace.after_mb for trace in traces)
