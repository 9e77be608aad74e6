"""Which stack ran, proven from logs and operator records of a real card."""

from __future__ import annotations

import pytest

from container_scripts.run_documents import foreign_parts, inactive_parts, read_run
from tests.unit.h200.records import FULL, RUNS, Recorded, log, observed, phase, registered


def inactive(run: Recorded) -> list[str]:
    """Return the components of which a run shows no evidence."""
    return [component for component, _ in inactive_parts(read_run(phase(run, "serve"), "run_b_result"))]


@pytest.mark.parametrize(("name", "functions"), [("dC", 37), ("d2GC", 27), ("eC", 27)])
def test_plugin_platform_and_operators_prove_the_full_stack(name: str, functions: int) -> None:
    seen = observed(RUNS[name])
    assert (seen["plugins_loaded"], seen["vllm_platform"]) == (["fl"], "plugin:fl")
    assert seen["flaggems_ops"] == functions == len(set(seen["flaggems_record"]))
    assert "attention_backend=default.flagos" in seen["dispatched_operators"]
    if RUNS[name].answers and phase(RUNS[name], "serve")["status"] == "PASS":
        assert inactive(RUNS[name]) == []


def test_the_plugin_without_flaggems_is_told_from_the_full_stack() -> None:
    seen = observed(RUNS["bSRG"])
    assert (seen["plugins_loaded"], seen["vllm_platform"], seen["flaggems_ops"]) == (["fl"], "plugin:fl", 0)
    assert "attention_backend=vendor.cuda" in seen["dispatched_operators"]


def test_a_full_run_that_shows_only_the_plugin_lacks_flaggems() -> None:
    asked_for_all = Recorded("plugin-bSRG", "plugin-bSRG", env=FULL)
    assert inactive(asked_for_all) == ["FlagGems"]


def test_a_plain_server_asked_for_the_full_stack_lacks_both() -> None:
    assert inactive(Recorded("plugin-a", "plugin-a", env=FULL)) == ["vllm-plugin-FL", "FlagGems"]


def test_flaggems_enabled_by_another_plugin_is_not_the_full_stack() -> None:
    asked_for_all = Recorded("Bok", "Bok-1", registered="Bok", env=FULL)
    assert inactive(asked_for_all) == ["vllm-plugin-FL"]
    assert inactive(RUNS["Bok"]) == []


@pytest.mark.parametrize("name", ["a", "aG", "aT", "A", "Aeager"])
def test_base_runs_show_nothing_of_the_stack(name: str) -> None:
    assert foreign_parts(read_run(phase(RUNS[name], "serve"), "run_a_result")) == []
    assert observed(RUNS[name])["plugins_loaded"] == []


@pytest.mark.parametrize("name", ["c", "b", "bS"])
def test_a_run_that_failed_to_start_still_shows_the_plugin(name: str) -> None:
    assert observed(RUNS[name])["plugins_loaded"] == ["fl"]


def test_the_record_of_operators_omits_the_guilty_one_and_the_register_does_not() -> None:
    ran = observed(Recorded("Beager", operators="Beager"))["flaggems_record"]
    assert ran
    assert not any(name.endswith(".mul") for name in ran)
    assert "mul" in registered("B")
    assert "mul" not in registered("Bok")
    assert "mul" not in registered("plugin-dC")


@pytest.mark.parametrize("name", ["dC", "c"])
def test_the_dispatcher_tells_whose_implementation_of_each_operator_ran(name: str) -> None:
    assert "rms_norm=default.flagos" in observed(RUNS[name])["dispatched_operators"]


def test_a_plugin_whose_reference_backend_fails_to_register_is_loaded_all_the_same() -> None:
    assert "Failed to register Reference operators" in log("plugin-dC")
    assert observed(RUNS["dC"])["plugins_failed"] == []
