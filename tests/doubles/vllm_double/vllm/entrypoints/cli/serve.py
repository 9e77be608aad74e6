"""The server of the double: an API server with an engine core child, as vLLM has them."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from vllm import answers, logs, plugins
from vllm.engine_counters import EngineCounters

ENGINE = "import signal, time\nsignal.signal(signal.SIGTERM, signal.{0})\ntime.sleep(3600)"


def main(argv: list[str]) -> int:
    """Serve until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name")
    parser.add_argument("--max-model-len", type=int, default=8192)
    parser.add_argument("--dtype", default="bfloat16")
    options, _ = parser.parse_known_args(argv)
    mode = answers.mode()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "ignores_term" else lambda *_: os._exit(0))
    logs.say("APIServer", f"non-default args: { {**vars(options), 'model_tag': options.model} }")
    plugins.load()
    logs.say("APIServer", f"Using max model len {options.max_model_len}")
    disposition = "SIG_IGN" if mode == "ignores_term" else "SIG_DFL"
    engine = subprocess.Popen([sys.executable, "-c", ENGINE.format(disposition)])
    logs.say(
        "EngineCore",
        f"Initializing a V1 LLM engine (v0.32.0+double) with config: model='{options.model}', "
        f"dtype=torch.{options.dtype}, max_seq_len={options.max_model_len}, enforce_eager=True, "
        "kv_cache_dtype=auto, enable_prefix_caching=True",
        pid=engine.pid,
    )
    try:
        logs.fail_at_start(mode)
    except RuntimeError:
        engine.kill()
        raise
    if mode == "exits_zero":
        logs.say(
            "APIServer",
            "EngineCore encountered an issue. See stack trace (above) for the root cause.",
            "ERROR",
        )
        engine.kill()
        return 0
    if mode == "never_ready":
        time.sleep(3600)
    logs.say("EngineCore", "GPU KV cache size: 93,200 tokens", pid=engine.pid)
    server = http.server.ThreadingHTTPServer((options.host, options.port), handler(options, engine))
    logs.say("APIServer", "Application startup complete.")
    server.serve_forever()
    return 0


def handler(
    options: argparse.Namespace, engine: subprocess.Popen[bytes]
) -> type[http.server.BaseHTTPRequestHandler]:
    """Return a request handler that knows the server's settings."""
    mode = answers.mode()
    served = "another-model" if mode == "wrong_model" else options.served_model_name or options.model
    hanging = threading.Event()
    counters = EngineCounters()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            """Log as uvicorn does."""
            print(f'(APIServer pid={os.getpid()}) INFO:     127.0.0.1 - "{self.requestline}"', flush=True)

        def do_GET(self) -> None:
            """Answer /health, /metrics and /v1/models."""
            if self.path == "/health":
                self.reply(200, "")
            elif self.path == "/metrics" and mode != "no_metrics":
                self.reply(200, counters.page(served))
            elif self.path == "/v1/models":
                entry = {"id": served, "object": "model", "max_model_len": options.max_model_len}
                self.reply(200, {"object": "list", "data": [entry]})
            else:
                self.reply(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            """Answer completions and chats."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if mode == "hangs_first_request":
                hanging.wait(3600)
            started = time.monotonic()
            request_id = self.headers.get("X-Request-Id", "")
            if mode == "dies_after_ready" or (
                mode == "dies_in_benchmark" and request_id.startswith("bench-")
            ):
                cause = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
                for line in ("Traceback (most recent call last):", cause):
                    logs.say("EngineCore", line, "ERROR", engine.pid)
                engine.kill()
                os._exit(0)
            chat = self.path == "/v1/chat/completions"
            if chat and mode == "no_chat_template":
                message = "default chat template is no longer allowed, so you must provide a chat template"
                self.reply(400, {"error": {"message": message, "type": "BadRequestError", "code": 400}})
                return
            if mode == "malformed_answers":
                self.reply(200, {"object": "text_completion", "choices": []})
                return
            answered = completion(body, served, chat)
            if mode == "empty_in_benchmark" and request_id.startswith("bench-") and int(request_id[-1]) % 2:
                answered = empty(answered, chat)
            taken = time.monotonic() - started
            for _ in range(2 if mode == "miscounts" else 1):
                counters.count(answered["usage"], taken)
            self.reply(200, answered, taken)

        def reply(self, status: int, body: Any, taken: float = 0.0) -> None:
            """Send a body, JSON unless it is text."""
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Double-Seconds-To-First-Token", str(taken))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def empty(answered: dict[str, Any], chat: bool) -> dict[str, Any]:
    """Return the answer with nothing in it."""
    nothing = {"message": {"role": "assistant", "content": ""}} if chat else {"text": ""}
    return {
        **answered,
        "choices": [{**answered["choices"][0], **nothing}],
        "usage": {**answered["usage"], "completion_tokens": 0},
    }


def completion(body: dict[str, Any], model: str, chat: bool) -> dict[str, Any]:
    """Return the answer to one request in OpenAI's shape."""
    prompt = body["messages"][-1]["content"] if chat else body["prompt"]
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    made = answers.answer(text, body.get("max_tokens") or 16, bool(body.get("ignore_eos")))
    names = [f"token_id:{token}" for token in made.token_ids]
    choice: dict[str, Any] = {"index": 0, "finish_reason": made.finish_reason, "logprobs": None}
    if chat:
        choice["message"] = {"role": "assistant", "content": made.text}
        if body.get("logprobs"):
            choice["logprobs"] = {
                "content": [
                    {
                        "token": name,
                        "logprob": best,
                        "top_logprobs": [
                            {"token": name, "logprob": best},
                            {"token": "token_id:1", "logprob": second},
                        ],
                    }
                    for name, (best, second) in zip(names, made.scores, strict=True)
                ]
            }
    else:
        choice["text"] = made.text
        if body.get("logprobs"):
            choice["logprobs"] = {
                "tokens": names,
                "token_logprobs": [best for best, _ in made.scores],
                "top_logprobs": [
                    {name: best, "token_id:1": second}
                    for name, (best, second) in zip(names, made.scores, strict=True)
                ],
            }
    produced = len(made.token_ids)
    asked = len(prompt) if isinstance(prompt, list) else len(text.split())
    usage = {"prompt_tokens": asked, "completion_tokens": produced, "total_tokens": asked + produced}
    return {
        "object": "chat.completion" if chat else "text_completion",
        "model": model,
        "choices": [choice],
        "usage": usage,
    }
