"""Benchmark one profile with `vllm bench serve` against a server that runs already.

Belongs here: the checks before it, warm-up, repeats, and the document of one profile.
Does not belong here: the client's process (bench_client), reading and judging figures (benchmark_metrics,
engine_metrics), starting servers.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import random
import shlex
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import benchmark_metrics, empty_answers, engine_metrics, openai_client, server_log
from container_scripts.bench_client import (
    DEFAULT_NUM_WARMUPS,
    ENDPOINTS,
    SEEDS_OF_A_REPEAT,
    Target,
    client_command,
    profile_seed,
    run_client,
    unmeasured_requests,
)
from container_scripts.benchmark_metrics import Profile
from container_scripts.benchmark_repeats import combine_repeats
from container_scripts.document import Document, run_program
from container_scripts.engine_metrics import EngineCounters
from container_scripts.prompts import Prompt

CHAT_TEMPLATE_TOKENS = 64
RAW_OUTPUT_CHARACTERS = 2000
WARMUP_OUTPUT_TOKENS = 16
WARMUP_TOKEN_IDS = (100, 1000)
"""Ids for warm-up prompts: ordinary tokens in any vocabulary of more than 1000."""


def add_target_flags(parser: argparse.ArgumentParser) -> None:
    """Add what every benchmark program wants to know of the client."""
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="limit of one measurement")
    parser.add_argument(
        "--endpoint-type", choices=("auto", *ENDPOINTS), default="auto", help="auto: chat if it works"
    )
    parser.add_argument(
        "--num-warmups", type=int, default=DEFAULT_NUM_WARMUPS, help="requests before a profile"
    )
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="measurements of each profile; the median counts"
    )
    parser.add_argument("--extra-args", default="", help="more arguments of the client, quoted as in a shell")


def add_server_address_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a server which runs already."""
    parser.add_argument("--model", required=True, help="model id that the server answers to")
    parser.add_argument("--tokenizer", help="folder of the tokenizer (default: the model)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run Python code of the model's folder"
    )
    parser.add_argument(
        "--extra-arg", action="append", default=[], metavar="ARG", help="one argument of the client"
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="run_benchmark", description=__doc__)
    add_server_address_flags(parser)
    add_target_flags(parser)
    parser.add_argument("--profile-name", required=True)
    parser.add_argument("--input-len", type=int, required=True, help="tokens in, per request")
    parser.add_argument("--output-len", type=int, required=True, help="tokens out, per request")
    parser.add_argument("--num-prompts", type=int, required=True, help="number of requests")
    parser.add_argument(
        "--result-dir", metavar="DIR", help="for the client's files (default: that of --output)"
    )
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Run the profile that the flags say."""
    target = target_from(arguments, arguments.result_dir or folder_of(arguments.output))
    profile = Profile(
        arguments.profile_name, arguments.input_len, arguments.output_len, arguments.num_prompts
    )
    return run_profile(target, profile)


def folder_of(output: Optional[str]) -> str:
    """Return the folder of the output file, the current one if there is none."""
    return os.path.dirname(os.path.abspath(output)) if output else os.getcwd()


def target_from(arguments: argparse.Namespace, result_dir: str) -> Target:
    """Return the target that the flags of ``add_server_address_flags`` and ``add_target_flags`` say."""
    return Target(
        host=arguments.host,
        port=arguments.port,
        model=arguments.model,
        tokenizer=arguments.tokenizer or arguments.model,
        result_dir=os.path.abspath(result_dir),
        endpoint_type=arguments.endpoint_type,
        timeout_s=arguments.timeout,
        seed=arguments.seed,
        num_warmups=arguments.num_warmups,
        repeats=max(1, arguments.repeats),
        trust_remote_code=arguments.trust_remote_code,
        extra_args=(*shlex.split(arguments.extra_args), *arguments.extra_arg),
    )


def run_profile(target: Target, profile: Profile) -> Document:
    """Run one profile, as often as the target says, and return its document.

    Nothing that goes wrong leaves as an exception of the client. Raises OSError if the folder for the
    client's files cannot be written.
    """
    repeats: List[Document] = []
    for repeat in range(target.repeats):
        seed = target.seed + repeat * SEEDS_OF_A_REPEAT
        suffix = f".{repeat + 1}" if repeat else ""
        repeats.append(_run_once(dataclasses.replace(target, seed=seed), profile, profile.name + suffix))
        if repeats[-1]["status"] == "SKIPPED" or repeats[-1]["server_died"]:
            break
    return combine_repeats(repeats)


def _run_once(target: Target, profile: Profile, file_name: str) -> Document:
    document = empty_document(profile)
    refusal = _not_servable(target, profile)
    if refusal:
        status, reason = refusal
        return {
            **document,
            "status": status,
            "reasons": [reason],
            "error": None if status == "SKIPPED" else reason,
        }
    endpoint_type = resolve_endpoint(target)
    document["endpoint_type"] = endpoint_type
    document["warmup"] = _warm_up(target, profile)
    os.makedirs(target.result_dir, exist_ok=True)
    result_file = os.path.join(target.result_dir, f"{file_name}.client.json")
    log_file = os.path.join(target.result_dir, f"{file_name}.client.log")
    if os.path.exists(result_file):
        os.remove(result_file)
    document["command"] = client_command(target, profile, endpoint_type, result_file)
    print(f"[{file_name}] {profile.num_prompts} requests", file=sys.stderr, flush=True)
    before = _engine_counters(target)
    code, ended_because = run_client(document["command"], log_file, target)
    after = _engine_counters(target)
    printed = _read(log_file)
    document.update(raw_output=printed[-RAW_OUTPUT_CHARACTERS:], log_path=log_file, exit_code=code)
    _judge(document, profile, _read(result_file), printed, ended_because)
    _cross_check(document, profile, before, after, printed)
    print(f"[{file_name}] {document['status']}", file=sys.stderr, flush=True)
    return document


def empty_document(profile: Profile) -> Document:
    """Return the document of a profile that has not run."""
    return {
        "name": profile.name,
        "input_len": profile.input_len,
        "output_len": profile.output_len,
        "num_prompts": profile.num_prompts,
        "status": "FAIL",
        "metrics": {},
        "reasons": [],
        "error": None,
        "traceback": None,
        "endpoint_type": None,
        "warmup": None,
        "command": None,
        "exit_code": None,
        "log_path": None,
        "raw_output": "",
        "source": None,
        "server_died": False,
        "empty_answers": 0,
        "engine_check": None,
        "spread": {},
        "repeats": [],
    }


def resolve_endpoint(target: Target) -> str:
    """Return ``chat`` or ``completions``; ``auto`` is chat unless the model has no chat template."""
    if target.endpoint_type != "auto":
        return target.endpoint_type
    greeting = Prompt("endpoint", "chat", "Hello")
    record = target.client.answer(target.model, greeting, 1, target.seed, target.timeout_s)
    return "completions" if openai_client.lacks_chat_template(record) else "chat"


def _not_servable(target: Target, profile: Profile) -> Optional[Tuple[str, str]]:
    """Return status and reason if the profile need not be started, else None."""
    ids, first = target.client.models()
    if target.model not in ids:
        return "FAIL", f"the server on port {target.port} serves {ids or 'nothing'}, not {target.model!r}"
    context, needed = (
        first.get("max_model_len"),
        profile.input_len + profile.output_len + CHAT_TEMPLATE_TOKENS,
    )
    if isinstance(context, int) and needed > context:
        return "SKIPPED", f"not applicable: {needed} tokens are needed and the model's context is {context}"
    return None


def _warm_up(target: Target, profile: Profile) -> Dict[str, Any]:
    """Send requests of the profile's input length, so that kernels are compiled before time counts."""
    source = random.Random(profile_seed(target, profile))
    bodies = [
        {
            "model": target.model,
            "prompt": [source.randrange(*WARMUP_TOKEN_IDS) for _ in range(profile.input_len)],
            "max_tokens": min(profile.output_len, WARMUP_OUTPUT_TOKENS),
            "temperature": 0,
            "ignore_eos": True,
        }
        for _ in range(target.num_warmups)
    ]
    clock = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(bodies))) as pool:
        replies = list(
            pool.map(lambda body: target.client.request("/v1/completions", body, target.timeout_s), bodies)
        )
    errors = [
        reply.error or f"HTTP {reply.status}: {reply.text[:200]}" for reply in replies if reply.status != 200
    ]
    return {
        "requests": len(replies),
        "completed": len(replies) - len(errors),
        "seconds": round(time.monotonic() - clock, 3),
        "error": errors[0] if errors else None,
    }


def _judge(
    document: Document, profile: Profile, result_text: str, printed: str, ended_because: Optional[str]
) -> None:
    """Fill in metrics, status and reasons."""
    result, empty = empty_answers.without_empty_answers(_parse(result_text))
    document["empty_answers"] = empty
    if result:
        document["source"], metrics = "json", benchmark_metrics.metrics_from_json(result)
    else:
        metrics = benchmark_metrics.metrics_from_text(printed)
        document["source"] = "text" if any(value is not None for value in metrics.values()) else None
    judgement = benchmark_metrics.judge_profile(metrics, profile)
    document["metrics"] = benchmark_metrics.json_safe(metrics) if document["source"] else {}
    reasons = list(judgement.reasons) if document["source"] else []
    if empty:
        reasons.append(f"{empty} answers with status 200 were empty; they count as failed requests")
    document["server_died"] = ended_because == "server_died"
    if ended_because == "timeout":
        reasons.insert(0, "the profile's time was over; the client was ended")
    elif ended_because == "server_died":
        reasons.insert(0, "the server died during this profile; the client was ended")
    elif document["exit_code"] != 0:
        reasons.insert(0, f"the client ended with code {document['exit_code']}")
    elif not document["source"]:
        reasons.insert(0, "the client left no result")
    failed = ended_because or document["exit_code"] != 0 or not document["source"]
    document["status"] = "FAIL" if failed else judgement.status
    document["reasons"] = reasons
    if document["status"] == "FAIL":
        last = server_log.last_error_line(printed) if failed else ""
        document["error"] = "; ".join(reasons) + (f" (client: {last})" if last else "")
        document["traceback"] = server_log.first_traceback(printed) or None


def _engine_counters(target: Target) -> EngineCounters:
    """Return what the engine has counted so far; nothing if it does not answer."""
    reply = target.client.request("/metrics")
    return engine_metrics.read_counters(reply.text if reply.status == 200 else "")


def _cross_check(
    document: Document, profile: Profile, before: EngineCounters, after: EngineCounters, printed: str
) -> None:
    """Hold the client's figures against the engine's own; a profile in which they disagree is not PASS."""
    if document["status"] == "FAIL":
        document["engine_check"] = engine_metrics.unavailable("the client's figures are not usable")
        return
    check = engine_metrics.check_client(
        before, after, document["metrics"], profile.output_len, unmeasured_requests(printed)
    )
    document["engine_check"] = check
    if check["status"] == "DISAGREE":
        document["status"] = "PARTIAL"
        document["reasons"] += [f"engine and client disagree: {finding}" for finding in check["findings"]]


def _parse(text: str) -> Dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as handle:
            return handle.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(run_program("run_benchmark", build_parser(), observe))
