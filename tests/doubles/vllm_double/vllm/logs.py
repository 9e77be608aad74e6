"""Log lines in vLLM's format, and the ways in which an engine fails to start."""

from __future__ import annotations

import os
import sys
import time

ENGINE_FAILED = (
    "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
ROOT_CAUSES = {
    "dies_at_start": (
        "vllm/v1/worker/gpu_model_runner.py",
        "KeyError: 'layers.0.self_attn.qkv_proj.weight_scale'",
    ),
    "oom": (
        "vllm/v1/core/kv_cache_utils.py",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. "
        "GPU 0 has a total capacity of 139.72 GiB of which 12.31 GiB is free.",
    ),
}


def say(process: str, text: str, level: str = "INFO", pid: int | None = None) -> None:
    """Write one line to standard output, where vLLM logs."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    print(f"({process} pid={pid or os.getpid()}) {level} {stamp} [double.py:1] {text}", flush=True)


def fail_at_start(mode: str) -> None:
    """Report the engine's root cause and raise what the process above it raises."""
    if mode not in ROOT_CAUSES:
        return
    place, cause = ROOT_CAUSES[mode]
    engine = os.getpid() + 1
    for line in (
        "EngineCore failed to start.",
        "Traceback (most recent call last):",
        f'  File "/site/{place}", line 101, in initialize',
        "    self.model_executor = executor_class(config)",
        cause,
    ):
        say("EngineCore", line, "ERROR", engine)
    sys.stdout.flush()
    raise RuntimeError(ENGINE_FAILED)
