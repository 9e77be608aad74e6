"""The command-line flags that every program with a vLLM engine shares, and what they mean to the engine.

Belongs here: flags, their translation to `vllm serve` arguments and to keyword arguments of `vllm.LLM`.
Does not belong here: starting anything.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict, List, Sequence


def add_engine_flags(parser: argparse.ArgumentParser) -> None:
    """Add the engine flags to a parser; a flag that is not given leaves vLLM's own default."""
    parser.add_argument("--model", required=True, help="folder of the model (or hub id)")
    parser.add_argument(
        "--tp", "--tensor-parallel-size", dest="tp", type=int, default=1, help="tensor parallel size"
    )
    parser.add_argument("--dtype", help="data type of weights and activations, such as bfloat16")
    parser.add_argument("--max-model-len", type=int, metavar="TOKENS", help="context length")
    parser.add_argument(
        "--gpu-memory-utilization", type=float, metavar="SHARE", help="share of device memory"
    )
    parser.add_argument("--enforce-eager", action="store_true", help="no graph capture")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code of the model's folder"
    )
    parser.add_argument(
        "--stack", default="base", help="label of the stack that was asked for: base, full, …"
    )
    parser.add_argument("--seed", type=int, default=0)


def serve_arguments(arguments: argparse.Namespace) -> List[str]:
    """Return the engine flags as arguments of `vllm serve` (without the model)."""
    command = ["--tensor-parallel-size", str(arguments.tp), "--seed", str(arguments.seed)]
    for flag in ("dtype", "max_model_len", "gpu_memory_utilization"):
        value = getattr(arguments, flag)
        if value is not None:
            command += ["--" + flag.replace("_", "-"), str(value)]
    for flag in ("enforce_eager", "trust_remote_code"):
        if getattr(arguments, flag):
            command.append("--" + flag.replace("_", "-"))
    return command


def engine_keywords(arguments: argparse.Namespace) -> Dict[str, Any]:
    """Return the engine flags as keyword arguments of `vllm.LLM`, `--extra-arg` last."""
    keywords: Dict[str, Any] = {
        "model": arguments.model,
        "tensor_parallel_size": arguments.tp,
        "trust_remote_code": arguments.trust_remote_code,
        "enforce_eager": arguments.enforce_eager,
        "seed": arguments.seed,
    }
    for flag in ("dtype", "max_model_len", "gpu_memory_utilization"):
        if getattr(arguments, flag) is not None:
            keywords[flag] = getattr(arguments, flag)
    return {**keywords, **parse_assignments(arguments.extra_arg)}


def parse_assignments(assignments: Sequence[str]) -> Dict[str, Any]:
    """Parse ``KEY=VALUE`` pairs whose value is JSON, or else plain text; dashes in keys become underscores.

    Raises ValueError if there is no key or no equals sign.
    """
    parsed: Dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not key or not equals:
            raise ValueError(f"--extra-arg needs KEY=VALUE, got {assignment!r}")
        try:
            parsed[key.replace("-", "_")] = json.loads(value)
        except (ValueError, RecursionError):
            parsed[key.replace("-", "_")] = value
    return parsed
