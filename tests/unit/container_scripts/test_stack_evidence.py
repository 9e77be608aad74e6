from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from container_scripts import stack_evidence

DATA = Path(__file__).parents[2] / "data" / "h200"


def test_the_operators_of_a_real_record_are_counted_once_each() -> None:
    operators = stack_evidence.read_operator_list(str(DATA / "operators" / "plugin-dC.txt"))
    assert "flag_gems.ops.zeros.zeros" in operators
    assert len(operators) == len(set(operators))
    assert not any(name.startswith("vllm_fl") for name in operators)


def test_a_list_left_by_an_earlier_run_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "operators.txt"
    stale.write_text("[DEBUG] flag_gems.ops.add.add: GEMS ADD\n")
    monkeypatch.setenv(stack_evidence.OPERATOR_LIST_VARIABLE, str(stale))
    path = stack_evidence.prepare_operator_list(None)
    assert path == str(stale)
    assert stack_evidence.observe_stack(path, [])["flaggems_ops"] == 0


def test_without_the_variable_the_list_lies_beside_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(stack_evidence.OPERATOR_LIST_VARIABLE, raising=False)
    path = stack_evidence.prepare_operator_list(str(tmp_path / "serve.json"))
    assert path == str(tmp_path / "serve.json.operators.txt")
    assert os.environ[stack_evidence.OPERATOR_LIST_VARIABLE] == path
    monkeypatch.delenv(stack_evidence.OPERATOR_LIST_VARIABLE)


def test_a_library_counts_only_if_a_process_has_it_mapped() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=-1
    )
    try:
        assert child.stdout is not None and child.stdout.readline()
        assert stack_evidence.maps_library([child.pid], "libc")
        assert not stack_evidence.maps_library([child.pid])
    finally:
        child.kill()
        child.communicate()
    assert not stack_evidence.maps_library([child.pid], "libc")


def test_secrets_and_unrelated_variables_are_left_out_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "hidden")
    monkeypatch.setenv("USE_FLAGGEMS", "1")
    monkeypatch.setenv("UNRELATED", "x")
    monkeypatch.delenv("FLAGCX_PATH", raising=False)
    requested = stack_evidence.stack_requested("full")
    assert requested["stack"] == "full"
    assert requested["env"]["USE_FLAGGEMS"] == "1"
    assert not {"VLLM_API_KEY", "UNRELATED", "FLAGCX_PATH"} & set(requested["env"])


def test_a_log_of_the_real_plugin_is_evidence_of_plugin_and_platform(tmp_path: Path) -> None:
    log = (DATA / "logs" / "plugin-dC-excerpt.log").read_text()
    observed = stack_evidence.observe_stack(str(tmp_path / "absent"), [], log)
    assert observed["plugins_loaded"] == ["fl"]
    assert observed["vllm_platform"] == "plugin:fl"
    assert observed["flaggems_ops"] == 0
    assert observed["flagcx_loaded"] is False
