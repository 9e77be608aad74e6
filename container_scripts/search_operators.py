"""Find the operators of FlagGems that make a full stack fail, by starting engines with parts of them.

Belongs here: the probes (one engine start each), how many and how long, the document of the search.
Does not belong here: which part is tried next (group_testing), whether a probe fails as the full stack did
(failure_likeness), the environment of the stack itself (given by whoever calls).

Operators are switched off by the plugin's own variable: what it names is not replaced by FlagGems.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Dict, List, Sequence, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
from container_scripts import engine_caches, failure_likeness, group_testing
from container_scripts.commands import run_command
from container_scripts.document import Document, run_program
from container_scripts.failure_likeness import Behaviour, Reference
from container_scripts.group_testing import Group, OutOfTests
from container_scripts.run_documents import load_document

NAMED_IN_TRIALS = 8
"""A trial names its operators, or those left out, up to so many; beyond that it counts them."""

LISTING_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Case:
    """What is known before the search.

    ``base`` are the base's outputs and their mode, ``failure`` is what the full stack did, ``arguments`` are
    those of the program that starts an engine, ``ran`` are operators that were seen running, ``suspects``
    were guilty before, ``kept`` are names that may not be switched off (the plugin dispatches them itself).
    """

    base: Reference
    failure: Behaviour
    arguments: Sequence[str]
    ran: Sequence[str] = ()
    suspects: Sequence[str] = ()
    kept: Sequence[str] = ()

    @classmethod
    def read(cls, path: str) -> Case:
        """Return the case of a file; raises ValueError if it is none."""
        content = load_document(path)
        try:
            return cls(
                Reference(content["base"], content.get("execution")),
                Behaviour(**content["failure"]),
                content["arguments"],
                *(content.get(key, ()) for key in ("ran", "suspects", "kept")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a case of a search: {error}") from error


@dataclass(frozen=True)
class Trial:
    """One engine start and what it showed."""

    number: int
    operators_on: int
    outcome: str
    reason: str
    seconds: float
    on: List[str] = field(default_factory=list)
    off: List[str] = field(default_factory=list)


class Probes:
    """Starts engines with parts of the operators, and keeps what each showed."""

    def __init__(
        self, arguments: argparse.Namespace, case: Case, operators: Sequence[str], off: Sequence[str]
    ) -> None:
        self.trials: List[Trial] = []
        self.documents: Dict[Group, Document] = {}
        self._arguments = arguments
        self._case = case
        self._operators = operators
        self._always_off = tuple(off)
        self._deadline = time.monotonic() + arguments.timeout

    def ask(self, groups: Sequence[Group]) -> List[str]:
        """Start one engine for each group, at the same time; raises OutOfTests."""
        limits = self._arguments
        if len(self.trials) + len(groups) > limits.most_starts:
            raise OutOfTests(
                f"stopped after {len(self.trials)} engine starts: {limits.most_starts} are allowed"
            )
        if time.monotonic() + limits.probe_timeout > self._deadline:
            raise OutOfTests(f"stopped after {limits.timeout:g} s: no time for another engine start")
        first = len(self.trials) + 1
        with ThreadPoolExecutor(max_workers=len(groups)) as pool:
            trials = list(pool.map(self._probe, range(first, first + len(groups)), groups))
        self.trials += trials
        return [trial.outcome for trial in trials]

    def value_for(self, group: Group) -> str:
        """Return the variable's value with which exactly ``group`` is on."""
        return ",".join([*(name for name in self._operators if name not in group), *self._always_off])

    def _probe(self, number: int, group: Group) -> Trial:
        arguments = self._arguments
        folder = os.path.join(arguments.scratch, f"start-{number}")
        os.makedirs(folder, exist_ok=True)
        result = os.path.join(folder, "result.json")
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{arguments.program}.py")
        argv = [sys.executable, program, *self._case.arguments, "--output", result]
        if arguments.program == "test_serve_mode":
            argv += ["--log", os.path.join(folder, "server.log")]
        environment = engine_caches.caches_in(folder)
        environment[arguments.variable] = self.value_for(group)
        ended = run_command(argv, arguments.probe_timeout, cwd=folder, env=environment)
        for cache in engine_caches.caches_in(folder).values():  # nobody reads it again, and it is large
            shutil.rmtree(cache, ignore_errors=True)
        document = load_document(result)
        seen = failure_likeness.read_behaviour(
            document, ended.output + _server_log(folder), ended.code, ended.timed_out, self._case.base
        )
        trial = self._trial(number, group, seen, ended.seconds)
        self.documents[group] = document
        print(
            f"[start {number}] {len(group)} of {len(self._operators)} operators on: {trial.outcome} "
            f"({trial.reason}), {ended.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        return trial

    def _trial(self, number: int, group: Group, seen: Behaviour, seconds: float) -> Trial:
        off = [name for name in self._operators if name not in group]
        if seen.kind == failure_likeness.WORKS:
            outcome = group_testing.PASS
        elif failure_likeness.fails_alike(self._case.failure, seen):
            outcome = group_testing.SAME
        else:
            outcome = group_testing.OTHER
        return Trial(
            number,
            len(group),
            outcome,
            seen.reason,
            seconds,
            sorted(group) if len(group) <= NAMED_IN_TRIALS else [],
            off if len(off) <= NAMED_IN_TRIALS else [],
        )


def observe(arguments: argparse.Namespace) -> Document:
    """Search, and return what was found with every engine start that led to it."""
    case = Case.read(arguments.case)
    registered, plugin_list = _list_operators(arguments)
    given = os.environ.get(arguments.variable, "")
    off = [name.strip() for name in given.split(",") if name.strip()] or plugin_list
    switchable = [name for name in registered if name not in off and name not in case.kept]
    operators = _likeliest_first(switchable, case.ran)
    print(f"[search] {len(operators)} operators can be switched", file=sys.stderr, flush=True)
    probes = Probes(arguments, case, operators, off)
    found = group_testing.search(operators, probes.ask, arguments.at_once, case.suspects)
    everything_else = frozenset(operators) - found.guilty
    return {
        "status": "PASS" if found.verified else "PARTIAL",
        "reason": found.reason,
        "operators": len(operators),
        "left_out_before": off,
        "guilty": [sorted(unit) for unit in found.units],
        "among": sorted(found.among) if found.among and not found.verified else [],
        "verified": found.verified,
        "variable": arguments.variable,
        "value": probes.value_for(everything_else) if found.verified else None,
        "starts": len(probes.trials),
        "starts_bound": group_testing.most_tests(len(operators), max(1, len(found.units))),
        "at_once": arguments.at_once,
        "trials": [asdict(trial) for trial in probes.trials],
        "without_guilty": probes.documents.get(everything_else) if found.verified else None,
    }


def _list_operators(arguments: argparse.Namespace) -> Tuple[List[str], List[str]]:
    """Return (registered, left out by the plugin), asked in a process of its own; raises RuntimeError."""
    result = os.path.join(arguments.scratch, "operators.json")
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flaggems_operators.py")
    os.makedirs(arguments.scratch, exist_ok=True)
    ended = run_command([sys.executable, program, "--output", result], LISTING_TIMEOUT_S, echo=True)
    document = load_document(result)
    if not ended.succeeded or not document.get("registered"):
        raise RuntimeError(
            f"FlagGems' operators cannot be listed: {document.get('error') or ended.output[-500:]}"
        )
    return document["registered"], document["left_out_by_plugin"]


def _likeliest_first(operators: Sequence[str], ran: Sequence[str]) -> List[str]:
    """Return the operators, those that were seen running before the others."""
    seen = {name.rpartition(".")[2] for name in ran}
    return sorted(operators, key=lambda name: (name not in seen, name))


def _server_log(folder: str) -> str:
    try:
        with open(os.path.join(folder, "server.log"), encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="search_operators", description=__doc__)
    parser.add_argument("--case", required=True, metavar="FILE", help="what is known before (JSON)")
    parser.add_argument("--variable", required=True, metavar="NAME", help="variable that names what is off")
    parser.add_argument(
        "--program", choices=("run_offline_inference", "test_serve_mode"), default="run_offline_inference"
    )
    parser.add_argument("--scratch", required=True, metavar="DIR", help="folder for logs, results and caches")
    parser.add_argument("--most-starts", type=int, default=40, metavar="N", help="engine starts at most")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="engines at the same time")
    parser.add_argument("--probe-timeout", type=float, required=True, metavar="S", help="limit of one start")
    parser.add_argument("--timeout", type=float, required=True, metavar="S", help="limit of the search")
    return parser


if __name__ == "__main__":
    sys.exit(run_program("search_operators", build_parser(), observe))
