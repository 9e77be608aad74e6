from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from container_scripts import server_log

EXCERPT = (Path(__file__).parents[2] / "data" / "h200" / "logs" / "plugin-dC-excerpt.log").read_text()

FAILED_START = """\
(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1] EngineCore failed to start.
(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1] Traceback (most recent call last):
(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1]   File "/site/vllm/v1/engine/core.py", line 1, in run
(EngineCore pid=9) ERROR 11-21 07:53:09 [core.py:1] torch.OutOfMemoryError: CUDA out of memory.
(APIServer pid=8) Traceback (most recent call last):
(APIServer pid=8) RuntimeError: Engine core initialization failed. See root cause above.
"""


def test_plugins_of_a_real_log_are_named_once() -> None:
    assert server_log.plugins_loaded(EXCERPT) == ["fl"]
    assert server_log.activated_platform(EXCERPT) == "fl"


def test_a_plugin_that_raised_while_loading_is_not_loaded() -> None:
    log = "INFO Loading plugin fl\nERROR Failed to load plugin fl\nTraceback…"
    assert server_log.plugins_loaded(log) == []
    assert server_log.plugins_failed(log) == ["fl"]


def test_the_implementations_that_the_dispatcher_chose_are_listed() -> None:
    assert "rms_norm=default.flagos" in server_log.dispatched_operators(EXCERPT)


def test_the_engines_own_exception_comes_before_the_servers_summary_of_it() -> None:
    assert server_log.root_error_line(FAILED_START) == "torch.OutOfMemoryError: CUDA out of memory."
    assert server_log.first_traceback(FAILED_START).startswith("(EngineCore pid=9)")


REQUEST_THEN_CRASH = """\
(APIServer pid=8) ERROR 11-21 08:02:24 [detokenizer.py:229] Traceback (most recent call last):
(APIServer pid=8) ERROR 11-21 08:02:24 [detokenizer.py:229] TypeError: one request
(EngineCore pid=9) ERROR 11-21 08:02:24 [core.py:1233] EngineCore encountered a fatal error.
(EngineCore pid=9) ERROR 11-21 08:02:24 [core.py:1233] Traceback (most recent call last):
(EngineCore pid=9) ERROR 11-21 08:02:24 [core.py:1233] {ended}
"""


def test_the_engines_exception_comes_before_what_went_wrong_in_single_requests() -> None:
    log = REQUEST_THEN_CRASH.format(ended="torch.AcceleratorError: CUDA error")
    assert server_log.root_error_line(log) == "torch.AcceleratorError: CUDA error"


def test_an_engine_that_was_told_to_end_is_not_the_cause() -> None:
    log = REQUEST_THEN_CRASH.format(ended="KeyboardInterrupt: terminated")
    assert server_log.root_error_line(log) == "TypeError: one request"


def test_the_excerpt_of_a_failure_begins_with_the_lines_that_led_to_it() -> None:
    led = "".join(f"line {number}\n" for number in range(100))
    excerpt = server_log.failure_excerpt(led + FAILED_START).splitlines()
    assert excerpt[0] == "line 81"
    assert excerpt[20:] == FAILED_START.splitlines()[1:]
    assert server_log.failure_excerpt("fine\n") == ""


def test_a_validation_error_is_told_with_what_is_invalid() -> None:
    log = (
        "Traceback (most recent call last):\n"
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, no such model [type=value_error, input_value=ArgsKwargs((), {'m'})]\n"
    )
    assert server_log.root_error_line(log).endswith("1 validation error for ModelConfig: no such model")


def test_a_log_without_traceback_gives_its_last_error() -> None:
    assert server_log.root_error_line("fine\nERROR no port\nbye") == "ERROR no port"


def test_configuration_lines_are_kept_once() -> None:
    log = "x\nGPU KV cache size: 93,200 tokens\nGPU KV cache size: 93,200 tokens\n"
    assert server_log.configuration_lines(log) == ["GPU KV cache size: 93,200 tokens"]


@given(st.text())
def test_no_log_breaks_the_readers(text: str) -> None:
    assert isinstance(server_log.root_error_line(text), str)
    assert server_log.tail(text, 3).count("\n") <= 2
    assert server_log.plugins_loaded(text) == server_log.plugins_loaded(text + "\n")
