"""The process of the benchmark client, `vllm bench serve`, and the server that it is to measure.

Belongs here: the client's command line, environment and end; what it sends beside what it measures.
Does not belong here: what its figures mean (benchmark_metrics), warm-up and judgement (run_benchmark).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from container_scripts import processes
from container_scripts.benchmark_metrics import Profile
from container_scripts.openai_client import OpenAIClient

ENDPOINTS = {"chat": ("openai-chat", "/v1/chat/completions"), "completions": ("openai", "/v1/completions")}
DEFAULT_NUM_WARMUPS = 4
POLL_S = 0.2
HEALTH_INTERVAL_S = 2.0
REFUSALS_MEAN_DEATH = 3
CLIENT_GRACE_S = 5.0
SEEDS_OF_A_REPEAT = 1_000_000
"""Distance of the seeds of two repeats, so that no prompt comes twice and is found in the prefix cache."""

_PROBE_SKIPPED = re.compile(r"^Skipping endpoint ready check", re.MULTILINE)
_PROBE = re.compile(r"^Starting initial single prompt test run", re.MULTILINE)
_CLIENT_WARMUP = re.compile(r"^Warming up with (\d{1,6}) requests", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """The server under test and how the client is to talk to it; ``timeout_s`` limits one measurement."""

    host: str
    port: int
    model: str
    tokenizer: str
    result_dir: str
    endpoint_type: str = "auto"
    timeout_s: float = 600.0
    seed: int = 0
    num_warmups: int = DEFAULT_NUM_WARMUPS
    repeats: int = 1
    trust_remote_code: bool = False
    extra_args: Tuple[str, ...] = ()

    @property
    def client(self) -> OpenAIClient:
        """A client for the server."""
        return OpenAIClient(self.host, self.port)


def client_command(target: Target, profile: Profile, endpoint_type: str, result_file: str) -> List[str]:
    """Return the argv of the benchmark client."""
    backend, endpoint = ENDPOINTS[endpoint_type]
    return [
        *(sys.executable, "-m", "vllm.entrypoints.cli.main", "bench", "serve"),
        *("--host", target.host, "--port", str(target.port)),
        *("--backend", backend, "--endpoint", endpoint),
        *("--model", target.model, "--tokenizer", target.tokenizer),
        *("--dataset-name", "random", "--seed", str(profile_seed(target, profile))),
        *("--random-input-len", str(profile.input_len), "--random-output-len", str(profile.output_len)),
        *("--num-prompts", str(profile.num_prompts), "--ignore-eos", "--temperature", "0"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,90,99"),
        *("--save-result", "--save-detailed"),
        *("--result-dir", os.path.dirname(result_file), "--result-filename", os.path.basename(result_file)),
        *(["--trust-remote-code"] if target.trust_remote_code else []),
        *target.extra_args,
    ]


def profile_seed(target: Target, profile: Profile) -> int:
    """Return a seed of the profile's own: equal prompts would hit the prefix cache that another filled."""
    return target.seed + zlib.crc32(profile.name.encode()) % 1_000_000


def server_is_gone(target: Target) -> bool:
    """Say whether nobody listens any more, or the server itself says that its engine is dead."""
    reply = target.client.health()
    return reply.refused or reply.status == 503


def client_environment() -> Dict[str, str]:
    """The client loads no plugin of the server's, and does not reach a local server through a proxy."""
    local = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
    return {**os.environ, "VLLM_PLUGINS": "", "NO_PROXY": local, "no_proxy": local}


def run_client(command: Sequence[str], log_file: str, target: Target) -> Tuple[Optional[int], Optional[str]]:
    """Run the client; return its code, and ``timeout`` or ``server_died`` if it was ended for that."""
    with open(log_file, "wb") as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=client_environment(),
            start_new_session=True,
        )
    reason = None
    try:
        reason = _watch(process, target)
    finally:
        _end_client(process)
    return process.returncode, reason


def _watch(process: subprocess.Popen[bytes], target: Target) -> Optional[str]:
    """Wait for the client; return ``timeout`` or ``server_died`` if waiting longer is of no use."""
    clock = time.monotonic()
    next_look, refusals = clock + HEALTH_INTERVAL_S, 0
    while not processes.has_ended(process.pid):
        now = time.monotonic()
        if now - clock > target.timeout_s:
            return "timeout"
        if now >= next_look:
            refusals = refusals + 1 if server_is_gone(target) else 0
            next_look = time.monotonic() + HEALTH_INTERVAL_S
            if refusals >= REFUSALS_MEAN_DEATH:
                return "server_died"
        time.sleep(POLL_S)
    return None


def _end_client(process: subprocess.Popen[bytes]) -> None:
    """End the client and whatever it left in its session, and only then reap it: its pid names them."""
    processes.end_processes(lambda: processes.living_in_session(process.pid), CLIENT_GRACE_S)
    process.wait()


def unmeasured_requests(printed: str) -> int:
    """Return how many requests the client sent beside those it measured: its probe and its own warm-ups.

    Up to vLLM 0.24 it probes the server with one request; later versions say when they do not.
    """
    probes = 1 if _PROBE.search(printed) and not _PROBE_SKIPPED.search(printed) else 0
    warmup = _CLIENT_WARMUP.search(printed)
    return probes + (int(warmup.group(1)) if warmup else 0)
