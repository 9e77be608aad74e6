"""The judgement of failures: known vectors, measured accuracy, properties that must hold for any log."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.error_layers import CASES, measure, read_cases
from container_scripts.error_layers import classify, classify_stream, classify_text
from container_scripts.error_records import RawFailure

GEMS_TRACEBACK = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/vllm/v1/worker/gpu_worker.py", line 80, in load_model
    self.model_runner.load_model()
  File "/workspace/FlagGems/src/flag_gems/ops/mm.py", line 41, in mm
    raise NotImplementedError(reason)
NotImplementedError: no configuration for this device
"""
GENERIC = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"


@pytest.mark.parametrize(
    "text", ["RuntimeError: inference failed", "see info above", "dominant error", "a nanny in a finite bin"]
)
def test_ordinary_words_are_not_numerical_evidence(text: str) -> None:
    assert classify_text(text).component == "unknown"
    assert classify_text(text).category != "numerical"


@pytest.mark.parametrize("text", ["loss is nan", "got inf values", "found Inf in logits", "logprobs: NaN"])
def test_nan_and_inf_as_words_are_numerical(text: str) -> None:
    found = classify_text(text)
    assert (found.layer, found.category) == ("4", "numerical")


def test_size_mismatch_of_weights_belongs_to_the_model() -> None:
    found = classify_text("RuntimeError: size mismatch for lm_head.weight: copying a param")
    assert (found.layer, found.category, found.component) == ("3", "weights", "model")


@pytest.mark.parametrize("text", ["CUDA out of memory in triton kernel", "NPU OUT OF MEMORY in flag_gems mm"])
def test_out_of_memory_overrides_component_words(text: str) -> None:
    found = classify_text(text)
    assert (found.layer, found.category, found.component, found.fatal) == ("2", "oom", "memory", True)


def test_all_reduce_in_the_frames_of_an_out_of_memory_error_is_no_collective_failure() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/a/site-packages/vllm/distributed/parallel_state.py", '
        "line 3, in all_reduce\n    x\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    )
    assert classify_text(text).component == "memory"


def test_shape_broadcast_is_not_flagcx() -> None:
    assert classify_text("ValueError: cannot broadcast (3,) to (4,)").component == "unknown"


def test_failed_nccl_all_reduce_is_base_communication_not_flagcx() -> None:
    assert classify_text("NCCL WARN all_reduce failed").component == "torch"


def test_import_error_in_the_plugin_is_the_plugins_although_a_flaggems_path_is_named() -> None:
    text = "ImportError: cannot import name 'x' from 'vllm_fl.dispatch' (/opt/flag_gems/src/y.py)"
    assert classify_text(text).component == "vllm-plugin-FL"


@pytest.mark.parametrize(
    ("text", "component"),
    [("FLAGCX_ERROR: all_gather failed", "FlagCX"), ("FLAG_GEMS operator not found", "FlagGems")],
)
def test_component_names_are_known_in_capitals(text: str, component: str) -> None:
    assert classify_text(text).component == component


def test_watchdog_timeout_of_a_collective_is_a_collective_hang() -> None:
    text = "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE)"
    assert classify_text(text).category == "collective_hang"


def test_traceback_counts_although_the_error_line_is_generic() -> None:
    found = classify(RawFailure(step="run_b_result", error=GENERIC, traceback=GEMS_TRACEBACK))
    assert (found.layer, found.component) == ("4", "FlagGems")


def test_worker_exception_is_the_cause_not_the_api_servers_last_line() -> None:
    log = "\n".join(f"(EngineCore_DP0 pid=9) ERROR 01-02 03:04:05 [core.py:7] {line}" for line in
                    GEMS_TRACEBACK.splitlines()) + f"\n(APIServer pid=1) {GENERIC}"  # fmt: skip
    found = classify_text(log)
    assert found.component == "FlagGems"
    assert found.evidence[0].line == 6


def test_kernel_that_asks_for_too_much_shared_memory_is_its_authors_not_a_memory_error() -> None:
    text = (
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 9, Hardware limit: 5"
    )
    assert classify_text(text).component == "FlagTree"
    found = classify_text(f"  flag_gems.flash_attn_varlen_func\n{text}")
    assert (found.component, found.category) == ("FlagGems", "flaggems")


def test_probe_at_warning_level_is_not_the_cause() -> None:
    text = (
        "WARNING 01-02 03:04:05 [cuda.py:226] Failed to import from vllm._C: "
        "ModuleNotFoundError(\"No module named 'vllm._C'\")\nValueError: User-specified max_model_len (9) is "
    )
    assert classify_text(text).component == "user"


def test_nothing_but_the_generic_line_is_unknown() -> None:
    assert classify_text(GENERIC).component == "unknown"


def test_interleaved_tracebacks_are_read_per_process() -> None:
    gems = [f"(Worker_TP0 pid=8) {line}" for line in GEMS_TRACEBACK.splitlines()]
    other = [f"(Worker_TP1 pid=9) {line}" for line in GEMS_TRACEBACK.replace("mm", "bmm").splitlines()]
    mixed = "\n".join(line for pair in zip(gems, other, strict=True) for line in pair)
    assert classify_text(mixed).component == "FlagGems"


@pytest.mark.parametrize(
    ("code", "signal", "category"),
    [(139, None, "segfault"), (-11, None, "segfault"), (None, 9, "killed"), (137, None, "killed")],
)
def test_signal_without_other_evidence_is_a_fatal_crash(
    code: int | None, signal: int | None, category: str
) -> None:
    found = classify(RawFailure(step="s", exit_code=code, signal=signal))
    assert (found.category, found.fatal, found.layer) == (category, True, "2")


def test_deadline_without_other_evidence_is_a_retryable_timeout_of_layer_x() -> None:
    found = classify(
        RawFailure(step="s", ended_by="deadline", signal=9, logs=(("log", "triton is compiling"),))
    )
    assert (found.layer, found.category, found.component, found.retryable) == (
        "X",
        "timeout",
        "unknown",
        True,
    )


def test_cause_in_the_log_survives_the_deadline_that_followed_it() -> None:
    failure = RawFailure(
        step="s", ended_by="idle", logs=(("log", "torch.OutOfMemoryError: CUDA out of memory."),)
    )
    assert classify(failure).category == "oom"


def test_category_that_the_program_named_is_kept() -> None:
    found = classify(RawFailure(step="s", error="port_in_use", category="port_in_use"))
    assert (found.layer, found.category, found.retryable) == ("X", "port_in_use", True)


def test_record_is_json() -> None:
    record = classify(RawFailure(step="s", phase="serve", traceback=GEMS_TRACEBACK)).to_dict()
    assert json.loads(json.dumps(record))["phase"] == "serve"


def test_first_error_survives_a_flood_of_later_lines() -> None:
    flood = "\n".join(f"ERROR 01-02 03:04:05 [x.py:1] request {n} failed" for n in range(60_000))
    assert classify_text(f"{GEMS_TRACEBACK}\n{flood}").component == "FlagGems"
    assert classify_text(f"{flood}\n{GEMS_TRACEBACK}").component == "FlagGems"


def test_stream_of_blocks_gives_the_answer_of_the_text(tmp_path: Path) -> None:
    text = "INFO: step\n" * 200_000 + GEMS_TRACEBACK
    streamed, whole = classify_stream(io.BytesIO(text.encode())), classify_text(text)
    assert streamed == whole
    assert streamed.evidence[0].line == 200_006


def test_accuracy_on_the_labelled_cases_does_not_fall() -> None:
    accuracy = measure(read_cases(CASES))
    assert accuracy.component_strict >= 0.94
    assert accuracy.component >= 0.98
    assert accuracy.layer >= 0.98
    assert accuracy.fatal >= 0.98
    assert accuracy.false_blame == 0.0


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert classify_text(text).layer in {"0", "1", "2", "3", "4", "X"}


@given(st.binary())
def test_any_bytes_get_an_answer(data: bytes) -> None:
    assert classify_stream(io.BytesIO(data)).component


TEXTS = [case["text"] for case in read_cases(CASES)]
BENIGN = "INFO 01-02 03:04:05 [loggers.py:1] Engine 000: inference runs, 3 reqs, no broadcast of triton"


@given(st.sampled_from(TEXTS), st.integers(1, 99_999), st.integers(0, 7))
def test_colours_carriage_returns_and_process_prefixes_do_not_matter(text: str, pid: int, rank: int) -> None:
    plain = classify_text(text)
    coloured = "\r\n".join(f"\x1b[1;36m{line}\x1b[0m" for line in text.splitlines())
    assert _answer(classify_text(coloured)) == _answer(plain)
    unprefixed = [line for line in text.splitlines() if "pid=" not in line and not line.startswith("[rank")]
    same = "\n".join(unprefixed)
    prefixed = "\n".join(f"(Worker_TP{rank} pid={pid}) {line}" for line in unprefixed)
    assert _answer(classify_text(prefixed)) == _answer(classify_text(same))


@given(st.sampled_from(TEXTS), st.integers(1, 5))
def test_benign_lines_before_the_error_do_not_matter(text: str, count: int) -> None:
    assert _answer(classify_text(f"{BENIGN}\n" * count + text)) == _answer(classify_text(text))


def _answer(found: object) -> tuple[object, ...]:
    return tuple(getattr(found, name) for name in ("layer", "component", "category", "fatal"))


def test_a_false_ready_server_keeps_its_category_and_the_component_that_its_log_proves() -> None:
    log = (
        "(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1] Traceback (most recent call last):\n"
        '(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1]   File "/s/flag_gems/ops/mm.py", line 3, in mm\n'
        "(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1] NotImplementedError: bfloat16\n"
    )
    error = "false_ready: the server seemed ready, then ended with 1"
    found = classify(RawFailure(step="s", error=error, category="false_ready", logs=(("server", log),)))
    assert (found.category, found.component, found.layer) == ("false_ready", "FlagGems", "4")
    assert classify(RawFailure(step="s", error=error, category="false_ready")).component == "unknown"
