"""Run a model with vLLM in this process, without a server, and record what it answers token by token.

Belongs here: loading the engine, generating greedily, the document of the offline phase.
Does not belong here: the checks (output_checks), the evidence (stack_evidence), comparing runs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import logging
import os
import signal
import sys
import time
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Dict, Iterator, List, Optional, Sequence

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import engine_flags, output_checks, processes, stack_evidence
from container_scripts.document import Document, describe_exception, run_program
from container_scripts.openai_client import finite_or_none, gap_of_best_two
from container_scripts.prompts import Prompt, read_prompts

ENGINE_STOP_GRACE_S = 10.0
DUMP_BEFORE_DEADLINE_S = 5.0
PLUGIN_LOGGERS = ("vllm.plugins", "vllm.platforms")


class DeadlineReached(Exception):
    """The time given by ``--timeout`` is over."""


class PluginLog(logging.Handler):
    """Keeps what vLLM says of plugins and platforms in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.lines.append(record.getMessage())

    @property
    def text(self) -> str:
        """All messages, one a line."""
        return "\n".join(self.lines)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="run_offline_inference", description=__doc__)
    engine_flags.add_engine_flags(parser)
    parser.add_argument("--prompts", metavar="FILE", help="JSON list of prompts (default: prompts.json)")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--timeout", type=float, default=0, metavar="S", help="end by then (0: no limit)")
    parser.add_argument(
        "--allow-degenerate", action="store_true", help="repetitive answers do not fail (random weights)"
    )
    parser.add_argument(
        "--extra-arg", action="append", default=[], metavar="KEY=VALUE", help="one more argument of vllm.LLM"
    )
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Run the model and return the document of the offline phase."""
    prompts = read_prompts(arguments.prompts)
    operator_list = stack_evidence.prepare_operator_list(arguments.output)
    plugin_log = PluginLog()
    for name in PLUGIN_LOGGERS:  # listened to before vLLM sets up its logging, which replaces handlers
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(plugin_log)
    body: Document = {
        "phase": "offline",
        "status": "FAIL",
        "stage_reached": "import",
        "stack_requested": stack_evidence.stack_requested(arguments.stack),
        "stack_observed": None,
        "versions": stack_evidence.versions(),
        "device": None,
        "has_chat_template": None,
        "effective_config": {},
        "outputs": [],
        "checks": None,
        "timings_s": {},
        "error": None,
        "category": None,
        "traceback": None,
    }
    try:
        with _deadline(arguments.timeout):
            _load_and_generate(prompts, arguments, body)
        _judge(body, arguments.allow_degenerate)
    except DeadlineReached as error:
        body.update(status="TIMEOUT", category="timeout", **describe_exception(error))
    except (Exception, SystemExit) as error:  # the document is where every failure is reported
        body.update(status="FAIL", **describe_exception(error))
    pids = [os.getpid(), *(process.id.pid for process in processes.living_descendants(os.getpid()))]
    body["stack_observed"] = stack_evidence.observe_stack(
        operator_list, pids, plugin_log.text, platform=_platform()
    )
    body["timings_s"]["total"] = round(sum(body["timings_s"].values()), 3)
    body["orphans"] = _end_engine()
    body["exit"] = {"code": 0 if body["status"] == "PASS" else 1, "signal": None}
    return body


def _load_and_generate(prompts: Sequence[Prompt], arguments: argparse.Namespace, body: Document) -> None:
    """Go through the stages, leaving what was seen in ``body``."""
    with _stage(body, "import", "importing vLLM"):
        vllm = importlib.import_module("vllm")
    with _stage(body, "device", "looking for devices"):
        body["device"] = _device()
    with _stage(body, "engine_init", f"loading model {arguments.model}"):
        engine = vllm.LLM(**engine_flags.engine_keywords(arguments))
    sampling = vllm.SamplingParams(
        temperature=0.0, max_tokens=arguments.max_tokens, seed=arguments.seed, logprobs=2
    )
    body["has_chat_template"] = _has_chat_template(engine)
    body["effective_config"] = {"execution": execution_of(engine)}
    with _stage(body, "generate", f"answering {len(prompts)} prompts"):
        for prompt in prompts:
            if prompt.kind == "chat" and not body["has_chat_template"]:
                continue
            if prompt.kind == "chat":
                answers = engine.chat([{"role": "user", "content": prompt.text}], sampling, use_tqdm=False)
            else:
                answers = engine.generate([prompt.text], sampling, use_tqdm=False)
            body["outputs"].append(_output(prompt, answers[0].outputs[0]))
            print(f"[generate] {prompt.id} answered", file=sys.stderr, flush=True)


def _judge(body: Document, allow_degenerate: bool) -> None:
    body["stage_reached"] = "check"
    body["checks"] = output_checks.check_answers(body["outputs"])
    failed = output_checks.failed_gates(body["checks"], allow_degenerate)
    if failed:
        body.update(error="; ".join(failed), category="empty_or_garbled")
    else:
        body["status"] = "PASS"


def _output(prompt: Prompt, answer: Any) -> Dict[str, Any]:
    """Return the record of one answer; ``top2_gap`` is the lead (nat) of the best token at each position."""
    scores = answer.logprobs or []
    chosen = [
        position[token].logprob if token in position else None
        for token, position in zip(answer.token_ids, scores)
    ]
    return {
        "prompt_id": prompt.id,
        "prompt": prompt.text,
        "kind": prompt.kind,
        "anchors": list(prompt.anchors),
        "text": answer.text,
        "token_ids": list(answer.token_ids),
        "finish_reason": answer.finish_reason,
        "logprobs": [finite_or_none(value) for value in chosen],
        "top2_gap": [gap_of_best_two([entry.logprob for entry in position.values()]) for position in scores],
    }


def _has_chat_template(engine: Any) -> bool:
    """Say whether the tokenizer can lay out a chat."""
    return bool(getattr(engine.get_tokenizer(), "chat_template", None))


def execution_of(engine: Any) -> Optional[str]:
    """Return how the engine executes the model, in the words of server_config; None if it does not say."""
    config = getattr(getattr(engine, "llm_engine", None), "vllm_config", None)
    eager = getattr(getattr(config, "model_config", None), "enforce_eager", None)
    if not isinstance(eager, bool):
        return None
    if eager:
        return "eager"
    compilation = getattr(config, "compilation_config", None)
    mode = getattr(getattr(compilation, "cudagraph_mode", None), "name", None)
    without_graphs = mode == "NONE" if mode else getattr(compilation, "use_cudagraph", None) is False
    return "compiled" if without_graphs else "graphs"


def _device() -> Dict[str, Any]:
    """Return vendor-neutral facts of the device as vLLM's platform sees it."""
    current_platform = importlib.import_module("vllm.platforms").current_platform
    facts: Dict[str, Any] = {"type": str(getattr(current_platform, "device_type", "unknown"))}
    for key, method in (("name", "get_device_name"), ("memory_total_bytes", "get_device_total_memory")):
        try:
            facts[key] = getattr(current_platform, method)()
        except Exception as error:  # platforms leave out what they do not know
            facts[key] = None
            print(f"[device] {method}: {error}", file=sys.stderr, flush=True)
    return facts


def _platform() -> Optional[str]:
    """Return the class of the platform that vLLM settled on, None if it never came so far."""
    platform = getattr(sys.modules.get("vllm.platforms"), "_current_platform", None)
    return f"{type(platform).__module__}.{type(platform).__name__}" if platform is not None else None


def _end_engine() -> List[int]:
    """End the processes that the engine started; return the pids of those that would not go.

    Python's own resource tracker ignores TERM and ends with this process: it is left alone.
    """
    tracker = getattr(resource_tracker, "_resource_tracker", None)
    tracker_pid = getattr(tracker, "_pid", None)

    def engine_processes() -> List[processes.Process]:
        below = processes.living_descendants(os.getpid())
        return [process for process in below if process.id.pid != tracker_pid]

    ending = processes.end_processes(engine_processes, ENGINE_STOP_GRACE_S, reap=_reap_children)
    return [survivor.id.pid for survivor in ending.survivors]


def _reap_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@contextlib.contextmanager
def _stage(body: Document, stage: str, message: str) -> Iterator[None]:
    """Name the stage in the document and on standard error, and time it."""
    body["stage_reached"] = stage
    print(f"[{stage}] {message}", file=sys.stderr, flush=True)
    clock = time.monotonic()
    try:
        yield
    finally:
        body["timings_s"][stage] = round(time.monotonic() - clock, 3)


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineReached after ``seconds``, having dumped every thread's stack shortly before.

    Works only while this process still runs Python code; what hangs deeper is ended from outside.
    """
    if seconds <= 0:
        yield
        return

    def over(number: int, frame: Optional[FrameType]) -> None:
        raise DeadlineReached(f"not finished within {seconds:g} s")

    faulthandler.dump_traceback_later(max(seconds - DUMP_BEFORE_DEADLINE_S, 0.9 * seconds), exit=False)
    previous = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    sys.exit(run_program("run_offline_inference", build_parser(), observe))
