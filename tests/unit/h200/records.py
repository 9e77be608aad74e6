"""The recorded runs of an H200 (tests/data/h200), and the documents that our programs make of such runs.

Belongs here: reading the records, and building phase, run and step documents from them with product code.
Does not belong here: what is to be concluded from them (the tests).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from container_scripts import output_checks, server_config, server_log, stack_evidence
from container_scripts.benchmark_metrics import Profile
from container_scripts.diff_analysis import analyse
from flagrelease_assets.contracts import DiffAnalysis, ModelRun
from flagrelease_assets.contracts.common import Stack, Status
from flagrelease_assets.contracts.model_run import PhaseDocument

DATA = Path(__file__).parents[2] / "data" / "h200"
PROFILES = [
    Profile(f"{input_len}/{output_len}/{prompts}", input_len, output_len, prompts)
    for input_len, output_len, prompts in (
        (256, 128, 100),
        (4096, 128, 100),
        (256, 1024, 100),
        (4096, 1024, 100),
        (1024, 512, 500),
    )
]
COMMON: dict[str, Any] = {
    "vendor": "nvidia",
    "model": "org--smollm2",
    "run_id": "run",
    "created_at": datetime(2026, 11, 21, tzinfo=UTC),
}
BASE = {"VLLM_PLUGINS": "", "USE_FLAGGEMS": "0"}
FULL = {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1"}
PLUGIN_ALONE = {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "0"}


@dataclass(frozen=True)
class Recorded:
    """One recorded run: its log, its greedy answers (None: it never served), its operators.

    ``operators`` is FlagGems' record of what ran, ``registered`` what it had put in the place of torch's.
    """

    log: str
    answers: str | None = None
    operators: str | None = None
    registered: str | None = None
    stack: str = "full"
    env: Mapping[str, str] = field(default_factory=lambda: FULL)


RUNS = {
    "a": Recorded("plugin-a", "plugin-a", stack="base", env=BASE),
    "aG": Recorded("plugin-aG", "plugin-aG", stack="base", env=BASE),
    "aT": Recorded("plugin-aT", "plugin-aT", stack="base", env=BASE),
    "b": Recorded("plugin-b", env=PLUGIN_ALONE),
    "bS": Recorded("plugin-bS", env=PLUGIN_ALONE),
    "bSRG": Recorded("plugin-bSRG", "plugin-bSRG", env=PLUGIN_ALONE),
    "c": Recorded("plugin-c", operators="plugin-cC"),
    "eC": Recorded("plugin-eC", "plugin-eC", "plugin-eC"),
    "dC": Recorded("plugin-dC", "plugin-dC", "plugin-dC"),
    "d2GC": Recorded("plugin-d2GC", "plugin-d2GC", "plugin-d2GC"),
    "A": Recorded("A-full", "A-1", stack="base", env=BASE),
    "Aeager": Recorded("Aeager", "Aeager-1", stack="base", env=BASE),
    **{
        name: Recorded(text, f"{name}-1", None, registered, "FlagGems alone", {"USE_FLAGGEMS": "1"})
        for name, text, registered in (
            ("B", "B-all-ops", "B"),
            ("Beager", "Beager", "B"),
            ("Bok", "Bok", "Bok"),
            ("Bokeager", "Bokeager", "Bok"),
        )
    },
}
"""Runs with a capital A or B: FlagGems was enabled by a plugin of the harness, not by vllm-plugin-FL."""


def log(name: str) -> str:
    """Return a recorded server log."""
    return (DATA / "logs" / f"{name}.log").read_text()


def answers(name: str) -> list[dict[str, Any]]:
    """Return recorded greedy answers in the shape of our outputs."""
    found: list[dict[str, Any]] = json.loads((DATA / "greedy" / f"{name}.json").read_text())
    return found


def benchmark(run: str, profile: Profile) -> dict[str, Any]:
    """Return what `vllm bench serve` left of one profile of a run."""
    name = f"{run}-{profile.input_len}-{profile.output_len}-{profile.num_prompts}.json"
    found: dict[str, Any] = json.loads((DATA / "bench" / name).read_text())
    return found


def observed(run: Recorded) -> dict[str, Any]:
    """Return the evidence that our programs take from a run's log and operator list."""
    path = DATA / "operators" / f"{run.operators}.txt" if run.operators else DATA / "absent"
    seen = stack_evidence.observe_stack(str(path), [], log(run.log))
    if run.registered:
        seen["flaggems_ops"] = registered(run.registered)
    return seen


def registered(name: str) -> list[str]:
    """Return the functions that FlagGems had registered in a run."""
    found: list[str] = json.loads((DATA / "operators" / f"registered-{name}.json").read_text())
    return found


def phase(run: Recorded, name: str) -> dict[str, Any]:
    """Return the document of a phase of a recorded run, as the program of that phase leaves it."""
    text = log(run.log)
    given = answers(run.answers) if run.answers else []
    document: dict[str, Any] = {
        "phase": name,
        "status": "PASS",
        "outputs" if name == "offline" else "requests": given,
        "checks": output_checks.check_answers(given) if given else None,
        "stack_requested": {"stack": run.stack, "env": dict(run.env)},
        "stack_observed": observed(run),
        "effective_config": server_config.effective_config(text),
        "log_tail": server_log.tail(text),
        "error": None,
        "traceback": None,
    }
    failed = output_checks.failed_gates(document["checks"]) if given else []
    if failed:
        document.update(status="FAIL", error="; ".join(failed), category="empty_or_garbled")
    if not given:
        said = f"the server ended with code 1 by itself; its log says: {server_log.root_error_line(text)}"
        document.update(status="FAIL", error=said, exit={"code": 1, "signal": None})
    if document["error"]:
        document["traceback"] = server_log.failure_excerpt(text) or None
    return document


def model_run(name: str, step: str) -> ModelRun:
    """Return the step document of a recorded run; both phases hold the one recording that there is."""
    run = RUNS[name]
    offline, serve = (
        PhaseDocument.model_validate(
            {key: value for key, value in phase(run, one).items() if value is not None}
        )
        for one in ("offline", "serve")
    )
    return ModelRun.model_validate(
        {
            **COMMON,
            "step": step,
            "status": serve.phase_status,
            "reason": serve.error,
            "stack": Stack.BASE if run.stack == "base" else Stack.FULL,
            "phase_a_offline": offline,
            "phase_b_serve": serve,
        }
    )


def compared(name_a: str, name_b: str) -> DiffAnalysis:
    """Return the diff document of two recorded runs, before any part of the stack is run alone."""
    run_a, run_b = model_run(name_a, "run_a_result"), model_run(name_b, "run_b_result")
    analysis = analyse(run_a.model_dump(mode="json"), run_b.model_dump(mode="json"))
    known = {key: analysis[key] for key in DiffAnalysis.model_fields if key in analysis}
    return DiffAnalysis.model_validate({**COMMON, **known, "status": Status(analysis["status"])})
