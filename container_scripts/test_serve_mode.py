"""Serve a model with vLLM and ask it: start, health, models, completion, chat, stop.

Belongs here: the order of the steps and the document of the serve phase.
Does not belong here: the server's life (vllm_server), the checks (output_checks).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any, Dict, List, Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import openai_client, output_checks, server_log, stack_evidence
from container_scripts.document import Document, describe_exception, run_program
from container_scripts.prompts import Prompt, read_prompts
from container_scripts.vllm_server import (
    LAST_BREATH_S,
    ServerFailure,
    VllmServer,
    add_server_flags,
    exit_document,
    raise_on_sigterm,
    settings_from,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="test_serve_mode", description=__doc__)
    add_server_flags(parser)
    parser.add_argument("--prompts", metavar="FILE", help="JSON list of prompts (default: prompts.json)")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument(
        "--request-timeout", type=float, default=300.0, metavar="S", help="limit of one request"
    )
    parser.add_argument(
        "--allow-degenerate", action="store_true", help="repetitive answers do not fail (random weights)"
    )
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Serve the model and return the document of the serve phase."""
    raise_on_sigterm()
    prompts = sorted(read_prompts(arguments.prompts), key=lambda prompt: prompt.kind == "chat")
    server = VllmServer(settings_from(arguments))
    operator_list = stack_evidence.prepare_operator_list(arguments.output)
    body: Document = {
        "phase": "serve",
        "status": "FAIL",
        "stage_reached": "port",
        "stack_requested": stack_evidence.stack_requested(arguments.stack),
        "stack_observed": None,
        "versions": stack_evidence.versions(),
        "health_status": None,
        "models": [],
        "max_model_len": None,
        "requests": [],
        "checks": None,
        "error": None,
        "category": None,
        "traceback": None,
    }
    clock = time.monotonic()
    try:
        _serve_and_ask(server, prompts, arguments, body)
        body["status"] = "PASS"
    except ServerFailure as failure:
        body.update(error=str(failure), category=failure.category)
        body["stage_reached"] = failure.stage
    except Exception as error:  # the server must be stopped and described whatever happened
        body.update(describe_exception(error))
    pids = [process.id.pid for process in server.members()]
    body["stack_observed"] = stack_evidence.observe_stack(operator_list, pids, server.log_text())
    ended_by_itself = server.exit_code()
    body["stop"] = server.stop(arguments.stop_grace)
    _judge_stop(body)
    body.update(server.describe())
    if body["error"]:
        body["traceback"] = body["traceback"] or server_log.failure_excerpt(server.log_text()) or None
    body["exit"] = exit_document(server.exit_code() if ended_by_itself is None else ended_by_itself)
    body["timings_s"] = {"startup": server.startup_s, "total": round(time.monotonic() - clock, 3)}
    return body


def _serve_and_ask(
    server: VllmServer, prompts: List[Prompt], arguments: argparse.Namespace, body: Document
) -> None:
    """Go through the stages, leaving what was seen in ``body``; raises ServerFailure."""
    _say(body, "start", f"starting the server for {arguments.model}")
    server.start()
    _say(body, "health", f"pid {server.pid}, port {server.port}; waiting until it is healthy")
    body.update(server.wait_until_healthy(arguments.health_timeout))
    _say(body, "models", f"healthy after {server.startup_s} s")
    truly_ready = False
    for prompt in prompts:
        _say(body, prompt.kind, f"asking {prompt.id}")
        record = server.client.answer(
            server.settings.served_name,
            prompt,
            arguments.max_tokens,
            arguments.seed,
            arguments.request_timeout,
        )
        record["anchors"] = list(prompt.anchors)
        body["requests"].append(record)
        if openai_client.lacks_chat_template(record):
            record["skipped"] = "the model has no chat template"
            continue
        if not truly_ready:
            _ensure_truly_ready(server, record)
            truly_ready = True
        server.ensure_alive(prompt.kind)
        if record["error"]:
            raise ServerFailure(prompt.kind, f"request {prompt.id} failed: {record['error']}")
    answered = [record for record in body["requests"] if not record.get("skipped")]
    body["checks"] = output_checks.check_answers(answered)
    failed = output_checks.failed_gates(body["checks"], arguments.allow_degenerate)
    if failed:
        raise ServerFailure(body["stage_reached"], "; ".join(failed), "empty_or_garbled")
    _say(body, "stop", "all requests answered; stopping the server")


def _ensure_truly_ready(server: VllmServer, record: Dict[str, Any]) -> None:
    """Raise ServerFailure if the first request shows that the server only seemed ready.

    Category ``timeout`` if there was no answer in time, ``false_ready`` if the server ended, failed
    inside (HTTP 5xx) or answered with nothing. A request that was turned down (HTTP 4xx) says nothing
    of readiness.
    """
    status, error, stage = record["http_status"], record["error"], record["kind"]
    if status is None and "timed out" in (error or ""):
        raise ServerFailure(stage, f"request {record['prompt_id']} failed: {error}", "timeout")
    if error and (status is None or status >= 500):
        server.wait_for_exit(LAST_BREATH_S)
    if server.exit_code() is not None:
        seen = f"ended with {server.exit_code()}"
    elif error and (status is None or status == 200 or status >= 500):
        seen = error
    elif not error and not (record["text"] or "").strip():
        seen = "gave an empty first answer"
    else:
        return
    signature = server_log.root_error_line(server.log_text())
    said = f"false_ready: the server seemed ready, then {seen}; its log says: {signature}"
    raise ServerFailure(stage, said, "false_ready")


def _judge_stop(body: Document) -> None:
    """A server that leaves processes or its port behind has not passed."""
    stop: Dict[str, Any] = body["stop"]
    left: Optional[str] = None
    if stop["orphans"]:
        left = f"processes left after KILL: {stop['orphans']}"
    elif stop["port_closed"] is False and body["category"] != "port_in_use":
        left = "the port still accepts connections after the stop"
    if left and body["status"] == "PASS":
        body.update(status="FAIL", error=left)
    elif body["status"] == "PASS":
        body["stage_reached"] = "done"


def _say(body: Document, stage: str, message: str) -> None:
    body["stage_reached"] = stage
    print(f"[{stage}] {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_program("test_serve_mode", build_parser(), observe))
