"""Benchmark a stack from nothing: start its server, run every profile, stop the server.

Belongs here: putting a server and the profiles together, one restart when the server dies.
Does not belong here: the server's life (vllm_server), the profiles (run_all_benchmarks).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import server_log, stack_evidence
from container_scripts.bench_client import Target
from container_scripts.document import Document, describe_exception, run_program
from container_scripts.run_all_benchmarks import add_profile_flags, read_profiles, result_folder, run_profiles
from container_scripts.run_benchmark import add_target_flags, target_from
from container_scripts.vllm_server import (
    HOST,
    LAST_BREATH_S,
    ServerFailure,
    VllmServer,
    add_server_flags,
    raise_on_sigterm,
    settings_from,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="benchmark_stack", description=__doc__)
    add_server_flags(parser)
    add_target_flags(parser)
    add_profile_flags(parser)
    parser.add_argument("--tokenizer", help="folder of the tokenizer (default: the model)")
    return parser


class Bench:
    """One benchmark of one stack: the server that runs now, and the document so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.settings = settings_from(arguments)
        self.server = VllmServer(self.settings)
        self.deaths: list[Document] = []
        self.max_model_len: Optional[int] = None

    def start(self) -> Target:
        """Start the server and return it as a target; raises ServerFailure."""
        print(f"[start] starting the server for {self.settings.model}", file=sys.stderr, flush=True)
        self.server.start()
        self.max_model_len = self.server.wait_until_healthy(self.arguments.health_timeout)["max_model_len"]
        print(f"[start] healthy after {self.server.startup_s} s", file=sys.stderr, flush=True)
        flags = argparse.Namespace(**vars(self.arguments))
        flags.host, flags.port, flags.model, flags.extra_arg = (
            HOST,
            self.server.port,
            self.settings.served_name,
            [],
        )
        flags.tokenizer = self.arguments.tokenizer or self.arguments.model
        return target_from(flags, result_folder(self.arguments))

    def restart(self) -> Optional[Target]:
        """Keep what is known of the dead server and start another; None if that fails."""
        self.server.wait_for_exit(LAST_BREATH_S)
        self.deaths.append(self.stop())
        os.replace(self.settings.log_path, self.settings.log_path + ".died")
        self.deaths[-1]["log_path"] = self.settings.log_path + ".died"
        self.server = VllmServer(self.settings)
        try:
            return self.start()
        except ServerFailure as failure:
            print(f"[restart] {failure}", file=sys.stderr, flush=True)
            return None

    def stop(self) -> Document:
        """Stop the server and return all that is known of it."""
        ended_by_itself = self.server.exit_code()
        stop = self.server.stop(self.arguments.stop_grace)
        log = self.server.log_text() if ended_by_itself is not None else ""
        return {
            **self.server.describe(),
            "stop": stop,
            "ended_by_itself_with": ended_by_itself,
            "root_error": server_log.root_error_line(log) or None,
            "traceback": server_log.failure_excerpt(log) or None,
        }


def observe(arguments: argparse.Namespace) -> Document:
    """Benchmark the stack that the flags and the environment say."""
    raise_on_sigterm()
    profiles = read_profiles(arguments.profiles)
    operator_list = stack_evidence.prepare_operator_list(arguments.output)
    requested = stack_evidence.stack_requested(arguments.stack)
    bench = Bench(arguments)
    try:
        body = run_profiles(bench.start(), profiles, bench.restart)
    except ServerFailure as failure:
        body = {**_not_run(len(profiles)), "error": str(failure), "category": failure.category}
    except Exception as error:  # the server must be stopped and described whatever happened
        body = {**_not_run(len(profiles)), **describe_exception(error)}
    pids = [process.id.pid for process in bench.server.members()]
    observed = stack_evidence.observe_stack(operator_list, pids, bench.server.log_text())
    server = bench.stop()
    dead = bench.deaths + ([server] if server["ended_by_itself_with"] is not None else [])
    if dead:  # what the client says of a dead server is only its consequence
        body["traceback"] = dead[0]["traceback"] or body["traceback"]
        body["error"] = (
            f"{body['error'] or 'a server died'} (server: {dead[0]['root_error'] or 'no error in its log'})"
        )
    return {
        **body,
        "startup_s": bench.server.startup_s,
        "max_model_len": bench.max_model_len,
        "server": server,
        "died_servers": bench.deaths,
        "stack_requested": requested,
        "stack_observed": observed,
        "versions": stack_evidence.versions(),
    }


def _not_run(count: int) -> Document:
    return {
        "status": "FAIL",
        "profiles_passed": f"0/{count}",
        "profiles": [],
        "summary_table": "",
        "restarts": 0,
        "traceback": None,
    }


if __name__ == "__main__":
    sys.exit(run_program("benchmark_stack", build_parser(), observe))
