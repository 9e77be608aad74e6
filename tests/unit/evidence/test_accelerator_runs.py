"""The kept documents of the accelerator runs: still readable, and judged by the present rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from container_scripts.diff_analysis import analyse
from flagrelease_assets.contracts import STEP_DOCUMENTS, DiffAnalysis, InstallStatus, StepDocument

EVIDENCE = Path(__file__).parents[3] / "docs" / "evidence"
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


def test_an_installation_without_any_index_proved_what_the_image_brought() -> None:
    install = document(EVIDENCE / "h100-eager" / "install_status.json")
    assert isinstance(install, InstallStatus)
    assert install.wheelhouse is not None
    assert install.packages["vllm"].preinstalled == {"torch": "2.11.0", "triton": "3.6.0"}


@pytest.mark.parametrize("path", sorted((EVIDENCE / "h100-eager" / "failures").glob("*.json")))
def test_no_failure_kept_any_device_memory(path: Path) -> None:
    traces = [job.devices for job in document(path).jobs if job.devices]
    assert all(trace.before_mb == trace.after_mb for trace in traces)
