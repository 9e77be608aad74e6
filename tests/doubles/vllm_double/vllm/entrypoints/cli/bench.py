"""The benchmark client of the double: real requests, the result keys and the table of vLLM 0.24 to 0.32."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import pathlib
import time
import urllib.request
from typing import Any, NamedTuple

TIMES = {
    "ttft": "Time to First Token",
    "tpot": "Time per Output Token (excl. 1st token)",
    "itl": "Inter-token Latency",
    "e2el": "End-to-end Latency",
}


class Measured(NamedTuple):
    """One answered request."""

    seconds: float
    to_first_token: float
    tokens: int
    text: str


def main(argv: list[str]) -> int:
    """Run the benchmark; like vLLM's it ends with code 0 even if every request of the main run failed."""
    options = parse(argv)
    print("Starting initial single prompt test run...", flush=True)
    if isinstance(ask(options, 0), str):
        raise ValueError(
            "Initial test run failed - Please make sure benchmark arguments are correctly specified."
        )
    print("Starting main benchmark run...", flush=True)
    clock = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        measured = list(pool.map(lambda number: ask(options, number), range(options.num_prompts)))
    result = summarise(
        options, [one for one in measured if not isinstance(one, str)], time.monotonic() - clock
    )
    if options.save_detailed:
        result.update(details(options, measured))
    print(table(result))
    if options.save_result:
        pathlib.Path(options.result_dir, options.result_filename).write_text(json.dumps(result))
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the flags that the double honours; others are accepted and ignored."""
    parser = argparse.ArgumentParser()
    for flag in (
        "--host",
        "--endpoint",
        "--model",
        "--tokenizer",
        "--backend",
        "--result-dir",
        "--result-filename",
    ):
        parser.add_argument(flag, required=True)
    for flag in ("--port", "--random-input-len", "--random-output-len", "--num-prompts"):
        parser.add_argument(flag, type=int, required=True)
    parser.add_argument("--save-result", action="store_true")
    parser.add_argument("--save-detailed", action="store_true")
    parser.add_argument("--ignore-eos", action="store_true")
    return parser.parse_known_args(argv)[0]


def ask(options: argparse.Namespace, number: int) -> Measured | str:
    """Send one request; return what was measured, or the error."""
    words = " ".join(f"w{number}-{place}" for place in range(options.random_input_len))
    body: dict[str, Any] = {
        "model": options.model,
        "max_tokens": options.random_output_len,
        "ignore_eos": options.ignore_eos,
    }
    if options.backend == "openai-chat":
        body["messages"] = [{"role": "user", "content": words}]
    else:
        body["prompt"] = words
    request = urllib.request.Request(
        f"http://{options.host}:{options.port}{options.endpoint}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Request-Id": f"bench-double-{number}"},
    )
    clock = time.monotonic()
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as reply:
            to_first_token = float(reply.headers["X-Double-Seconds-To-First-Token"])
            answered = json.load(reply)
            choice, produced = answered["choices"][0], answered["usage"]["completion_tokens"]
            text = choice["message"]["content"] if options.backend == "openai-chat" else choice["text"]
    except Exception as error:
        print(f"request {number} failed: {type(error).__name__}: {error}", flush=True)
        return f"{type(error).__name__}: {error}"
    return Measured(time.monotonic() - clock, to_first_token, produced, text)


def details(options: argparse.Namespace, measured: list[Measured | str]) -> dict[str, Any]:
    """Return the lists with one entry per request; a failed one has its error and zeros."""
    lists: dict[str, Any] = {
        key: [] for key in ("input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors")
    }
    for one in measured:
        answered = one if isinstance(one, Measured) else Measured(0.0, 0.0, 0, "")
        gaps = max(0, answered.tokens - 1)
        lists["input_lens"].append(options.random_input_len)
        lists["output_lens"].append(answered.tokens)
        lists["ttfts"].append(answered.to_first_token)
        lists["itls"].append([gap_of(answered)] * gaps)
        lists["generated_texts"].append(answered.text)
        lists["errors"].append(one if isinstance(one, str) else "")
    return lists


def gap_of(one: Measured) -> float:
    """Return the mean time between two tokens in seconds."""
    return (one.seconds - one.to_first_token) / max(1, one.tokens - 1)


def summarise(options: argparse.Namespace, measured: list[Measured], duration: float) -> dict[str, Any]:
    """Return the result under vLLM's keys; without a completed request every figure is 0."""
    completed, produced = len(measured), sum(one.tokens for one in measured)
    taken = completed * options.random_input_len
    result: dict[str, Any] = {
        "date": time.strftime("%Y%m%d-%H%M%S"),
        "backend": options.backend,
        "model_id": options.model,
        "tokenizer_id": options.tokenizer,
        "num_prompts": options.num_prompts,
        "request_rate": "inf",
        "duration": duration,
        "completed": completed,
        "failed": options.num_prompts - completed,
        "total_input_tokens": taken,
        "total_output_tokens": produced,
        "request_throughput": completed / duration,
        "output_throughput": produced / duration,
        "total_token_throughput": (taken + produced) / duration,
    }
    times = {
        "ttft": [one.to_first_token for one in measured],
        "tpot": [gap_of(one) for one in measured],
        "itl": [gap_of(one) for one in measured],
        "e2el": [one.seconds for one in measured],
    }
    for name, seconds in times.items():
        values = sorted(1000 * one for one in seconds) or [0.0]
        result[f"mean_{name}_ms"] = sum(values) / len(values)
        result[f"median_{name}_ms"] = result[f"p50_{name}_ms"] = percentile(values, 50)
        result[f"p90_{name}_ms"], result[f"p99_{name}_ms"] = percentile(values, 90), percentile(values, 99)
    return result


def percentile(values: list[float], share: int) -> float:
    """Return the value below which ``share`` per cent lie."""
    return values[min(len(values) - 1, math.ceil(share / 100 * len(values)) - 1)]


def table(result: dict[str, Any]) -> str:
    """Return the table as vLLM prints it."""
    rows = [
        ("Successful requests:", result["completed"]),
        ("Failed requests:", result["failed"]),
        ("Benchmark duration (s):", result["duration"]),
        ("Total input tokens:", result["total_input_tokens"]),
        ("Total generated tokens:", result["total_output_tokens"]),
        ("Request throughput (req/s):", result["request_throughput"]),
        ("Output token throughput (tok/s):", result["output_throughput"]),
        ("Total token throughput (tok/s):", result["total_token_throughput"]),
    ]
    lines = ["============ Serving Benchmark Result ============", *map(row, rows)]
    for name, title in TIMES.items():
        lines.append(title.center(50, "-"))
        for word, key in (
            ("Mean", "mean"),
            ("Median", "median"),
            ("P50", "p50"),
            ("P90", "p90"),
            ("P99", "p99"),
        ):
            lines.append(row((f"{word} {name.upper()} (ms):", result[f"{key}_{name}_ms"])))
    return "\n".join([*lines, "=" * 50])


def row(cells: tuple[str, float]) -> str:
    """Return one line of the table."""
    label, value = cells
    return f"{label:<40} {value:<10.2f}" if isinstance(value, float) else f"{label:<40} {value:<10}"
