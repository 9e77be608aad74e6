from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.server_config import configuration_differences, effective_config

EXCERPT = (Path(__file__).parents[2] / "data" / "h200" / "logs" / "plugin-dC-excerpt.log").read_text()

RECENT = """\
(APIServer pid=1) INFO 11-21 10:38:07 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0
(APIServer pid=1) INFO 11-21 10:38:07 [api_utils.py:286] non-default args: {'model_tag': '/m', \
'port': 4, 'max_model_len': 2048, 'mode': <CompilationMode.NONE: 0>}
(EngineCore pid=2) INFO 11-21 10:38:12 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: \
model='/m', dtype=torch.bfloat16, max_seq_len=2048, enforce_eager=False, kv_cache_dtype=auto, \
enable_prefix_caching=True, compilation_config={'cudagraph_mode': <CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>}
(EngineCore pid=2) INFO 11-21 10:38:13 [cuda.py:507] Using FLASH_ATTN attention backend out of potential \
backends: ['FLASH_ATTN', 'TRITON_ATTN'].
(EngineCore pid=2) INFO 11-21 10:38:14 [oracle.py:1] Using TRITON Fp8 MoE backend out of potential \
backends: [].
(EngineCore pid=2) INFO 11-21 10:38:22 [kv_cache_utils.py:2327] GPU KV cache size: 23,296 tokens, \
Maximum concurrency for 2,048 tokens per request: 11.38x
"""
OLD = """\
INFO 05-30 07:00:00 [api_server.py:1289] vLLM API server version 0.9.1
INFO 05-30 07:00:00 [cli_args.py:297] non-default args: {'max_model_len': 4096}
INFO 05-30 07:00:09 [core.py:70] Initializing a V1 LLM engine (v0.9.1) with config: model='m', \
dtype=torch.float16, max_seq_len=4096, enforce_eager=True, kv_cache_dtype=fp8
INFO 05-30 07:00:12 [cuda.py:252] Using Flash Attention backend on V1 engine.
INFO 05-30 07:00:20 [executor_base.py:115] Maximum concurrency for 4096 tokens per request: 10.50x
"""
KNOWN: dict[str, Any] = {
    "version": "0.32.0",
    "arguments": {"max_model_len": 2048, "port": 1},
    "kv_cache_tokens": 100_000,
    "attention_backend": "FLASH_ATTN",
}


def test_what_a_recent_engine_reports_is_read_whole() -> None:
    assert effective_config(RECENT) == {
        "version": "0.32.0",
        "arguments": {
            "model_tag": "/m",
            "port": 4,
            "max_model_len": 2048,
            "mode": "<CompilationMode.NONE: 0>",
        },
        "dtype": "bfloat16",
        "attention_backend": "FLASH_ATTN",
        "max_model_len": 2048,
        "kv_cache_tokens": 23_296,
        "execution": "graphs",
        "prefix_caching": True,
    }


def test_an_engine_of_vllm_0_9_says_its_cache_as_requests_of_full_length() -> None:
    config = effective_config(OLD)
    assert (config["version"], config["dtype"], config["execution"]) == ("0.9.1", "float16", "eager")
    assert config["attention_backend"] == "Flash Attention"
    assert config["kv_cache_tokens"] == 43_008
    assert config["prefix_caching"] is None


def test_a_dispatcher_that_chose_the_attention_backend_is_believed() -> None:
    log = RECENT + "Op 'attention_backend' using 'default.flagos' (kind=flagos, vendor=None)\n"
    assert effective_config(log)["attention_backend"] == "default.flagos"


@pytest.mark.parametrize(
    "line",
    [
        "INFO [xpu.py:1] Using Flash Attention backend for ViT model.",
        "INFO [cpu.py:312] Using float32 SSM state storage for the CPU accelerated GDN backend.",
        "INFO [oracle.py:1] Using TRITON Fp8 MoE backend out of potential backends: [].",
    ],
)
def test_the_backend_of_something_else_is_not_the_attention_backend(line: str) -> None:
    assert effective_config(line)["attention_backend"] is None


def test_a_real_log_with_cut_lines_gives_what_is_left_of_it() -> None:
    config = effective_config(EXCERPT)
    assert (config["version"], config["kv_cache_tokens"]) == ("0.24.0", 93_200)
    assert config["arguments"] is None


def test_the_address_and_the_name_of_one_start_are_no_difference() -> None:
    other = {**KNOWN, "arguments": {"max_model_len": 2048, "port": 2, "served_model_name": ["x"]}}
    assert configuration_differences(KNOWN, other) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"version": "0.24.0"}, "version: 0.32.0 against 0.24.0"),
        ({"attention_backend": None}, "attention_backend: FLASH_ATTN against not reported"),
        ({"arguments": {"max_model_len": 4096}}, "max_model_len: 2048 against 4096"),
        ({"arguments": None}, "arguments: not reported by both"),
        ({"kv_cache_tokens": 90_000}, "kv_cache_tokens: 100000 against 90000"),
    ],
)
def test_each_other_difference_is_named(change: dict[str, Any], difference: str) -> None:
    assert configuration_differences(KNOWN, {**KNOWN, **change}) == [difference]


def test_cache_sizes_of_two_starts_may_differ_a_little() -> None:
    assert configuration_differences(KNOWN, {**KNOWN, "kv_cache_tokens": 99_000}) == []


@given(st.text())
def test_no_log_breaks_the_reader_and_a_configuration_never_differs_from_itself(text: str) -> None:
    prefixes = ("", "non-default args: {", "Using ", "KV cache size: ", "Maximum concurrency for 1")
    for prefix in prefixes:
        config = effective_config(prefix + text)
        assert configuration_differences(config, config) == []


@given(st.text(alphabet="0123456789,.x "))
def test_no_number_breaks_the_reader(text: str) -> None:
    effective_config(
        f"KV cache size: {text} tokens\nMaximum concurrency for {text} tokens per request: {text}x"
    )
