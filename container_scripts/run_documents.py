"""Reading of run documents in all their shapes: minimal, one phase, a whole run, malformed.

Belongs here: a document's status by its phases, its failures as raw evidence, its outputs, what it
shows of the stack that was active.
Does not belong here: what two runs mean together (diff_analysis).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from container_scripts.error_records import RawFailure

_PASS = frozenset({"PASS", "PARTIAL"})
_FAIL = frozenset({"FAIL", "TIMEOUT", "ERROR"})
_SKIP = frozenset({"SKIPPED", "BLOCKED"})
_PHASE_KEYS = {"offline": "phase_a_offline", "serve": "phase_b_serve"}
Outputs = List[Mapping[str, Any]]
_KNOWN_ERRORS = frozenset({"port_in_use", "result_missing", "false_ready"})


@dataclass(frozen=True)
class Phase:
    """One phase of a run: ``name`` is offline, serve or "" (a minimal document)."""

    name: str
    status: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as its document shows it.

    ``status`` is PASS, FAIL, SKIPPED or MISSING; ``failures`` are those of the phases that failed,
    also in a run that passes because serving works.
    """

    status: str
    phases: Tuple[Phase, ...]
    failures: Tuple[RawFailure, ...]
    reasons: Tuple[str, ...]

    @property
    def error(self) -> Optional[str]:
        """Return the first failure's error line, or the last line of its traceback."""
        for failure in self.failures:
            lines = (failure.error or failure.traceback or "").strip().splitlines()
            if lines:
                return lines[0] if failure.error else lines[-1]
        return None


def load_document(path: str) -> Any:
    """Return the JSON document of a file, or, where there is none, one that says why (``unreadable``)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return json.load(handle)
    except (OSError, ValueError, RecursionError) as error:
        return {"unreadable": f"{path}: {type(error).__name__}: {error}"}


def read_run(document: Any, step: str) -> Run:
    """Return the run that ``document`` describes; whatever is malformed becomes MISSING with the reason."""
    if not isinstance(document, Mapping) or not document:
        what = "no document" if document is None else "an empty or malformed document"
        return Run("MISSING", (), (), (f"{step}: {what}",))
    if "unreadable" in document:
        return Run("MISSING", (), (), (f"{step}: {document['unreadable']}",))
    if document.get("skipped") is True or document.get("status") == "SKIPPED":
        return Run("SKIPPED", (), (), (f"{step}: {document.get('reason') or 'skipped'}",))
    phases, reasons = _phases(document, step)
    status, more = _status(document, phases, step)
    failures = tuple(_failure(phase, step) for phase in phases if phase.status == "FAIL")
    return Run(status, phases, failures, (*reasons, *more))


def outputs_of(run: Run) -> Outputs:
    """Return the outputs that a run recorded: the offline phase's, else the serve phase's answers."""
    return next(iter(_outputs_by_phase(run).values()), [])


def comparable_outputs(a: Run, b: Run) -> List[Tuple[str, Outputs, Outputs]]:
    """Return (phase, outputs of ``a``, outputs of ``b``) for each phase in which both recorded some.

    A minimal document has no phases: its outputs are held against whatever the other run recorded first.
    """
    first, second = _outputs_by_phase(a), _outputs_by_phase(b)
    common = [(name, outputs, second[name]) for name, outputs in first.items() if name in second]
    if not common and first and second and ("" in first or "" in second):
        return [("", outputs_of(a), outputs_of(b))]
    return common


def _outputs_by_phase(run: Run) -> Dict[str, Outputs]:
    """Return the outputs of each phase that recorded some, offline first."""
    phases = sorted(run.phases, key=lambda one: one.name == "serve")
    found = {phase.name: _outputs_of_phase(phase.document) for phase in phases}
    return {name: outputs for name, outputs in found.items() if outputs}


def _outputs_of_phase(document: Mapping[str, Any]) -> Outputs:
    for key in ("outputs", "requests"):
        outputs = document.get(key)
        found = [one for one in outputs if isinstance(one, Mapping)] if isinstance(outputs, list) else []
        if found:
            return found
    for key in ("output_sample", "output", "text"):
        if isinstance(document.get(key), str):
            return [{"prompt_id": "sample", "text": document[key]}]
    return []


def execution_of(run: Run) -> Optional[str]:
    """Return the mode in which a run executed the model (eager, compiled, graphs), None if not said."""
    for phase in run.phases:
        config = phase.document.get("effective_config")
        mode = config.get("execution") if isinstance(config, Mapping) else None
        if isinstance(mode, str):
            return mode
    return None


def promises_outputs(run: Run) -> bool:
    """Return whether a run's document is of the kind that holds outputs (not a minimal one)."""
    return any(phase.name or "outputs" in phase.document for phase in run.phases)


def inactive_parts(run: Run) -> List[Tuple[str, str]]:
    """Return (component, what is missing) for each part of the stack that was asked for and not seen.

    Every phase that passed and says which stack it asked for must show it; phases that ask for the
    base and minimal documents promise nothing.
    """
    found: Dict[str, str] = {}
    for phase in run.phases:
        requested = phase.document.get("stack_requested")
        if phase.status != "PASS" or not isinstance(requested, Mapping):
            continue
        observed = phase.document.get("stack_observed")
        for component, what in _unseen(requested, observed if isinstance(observed, Mapping) else {}):
            found.setdefault(component, f"{phase.name or 'run'}: {what}")
    return list(found.items())


def foreign_parts(run: Run) -> List[str]:
    """Return what was active in a base run although it was not asked for."""
    found: List[str] = []
    for phase in run.phases:
        requested, observed = phase.document.get("stack_requested"), phase.document.get("stack_observed")
        if not isinstance(requested, Mapping) or not isinstance(observed, Mapping):
            continue
        environment = _environment(requested)
        if _loaded(observed) and "fl" not in environment.get("VLLM_PLUGINS", "").split(","):
            found.append(f"{phase.name}: the fl plugin was loaded in the base run")
        if _count(observed.get("flaggems_ops")) and environment.get("USE_FLAGGEMS") != "1":
            found.append(f"{phase.name}: FlagGems operators were active in the base run")
    return found


def _phases(document: Mapping[str, Any], step: str) -> Tuple[Tuple[Phase, ...], List[str]]:
    """Return the phases of a document and what is malformed or missing among them."""
    if not any(key in document for key in _PHASE_KEYS.values()):
        status = _plain(document.get("status"))
        return (Phase(str(document.get("phase") or ""), status, document),), _unreadable(document, step)
    phases: List[Phase] = []
    reasons: List[str] = []
    for name, key in _PHASE_KEYS.items():
        phase = document.get(key)
        if isinstance(phase, str):
            phase = {"status": phase}
        if not isinstance(phase, Mapping) or not phase:
            reasons.append(f"{step}: the {name} phase left no document")
            continue
        phases.append(Phase(name, _plain(phase.get("status")), phase))
        reasons.extend(_unreadable(phase, f"{step} {name}"))
    return tuple(phases), reasons


def _status(document: Mapping[str, Any], phases: Tuple[Phase, ...], step: str) -> Tuple[str, List[str]]:
    """Return a run's status by its phases: serving decides, an offline failure beside it is a finding."""
    by_name = {phase.name: phase.status for phase in phases}
    whole = any(key in document for key in _PHASE_KEYS.values())
    if not whole:
        return phases[0].status, []
    if not phases:
        stated = _plain(document.get("status"))
        return (stated if stated == "SKIPPED" else "MISSING"), []
    serve, offline = by_name.get("serve", "MISSING"), by_name.get("offline", "MISSING")
    status = "FAIL" if "FAIL" in (serve, offline) and serve != "PASS" else serve
    reasons = []
    if serve == "PASS" and offline != "PASS":
        reasons.append(f"{step}: serving works but the offline phase is {offline}")
    stated = _plain(document.get("status"))
    if "status" in document and stated not in (status, "MISSING"):
        reasons.append(f"{step}: states {document['status']}, its phases say {status}")
    return status, reasons


def _plain(status: Any) -> str:
    """Return PASS, FAIL, SKIPPED or, for anything that is no status, MISSING."""
    for plain, names in (("PASS", _PASS), ("FAIL", _FAIL), ("SKIPPED", _SKIP)):
        if isinstance(status, str) and status in names:
            return plain
    return "MISSING"


def _unreadable(document: Mapping[str, Any], where: str) -> List[str]:
    """Return a reason where a document's status is none of the known words."""
    status = document.get("status")
    return [f"{where}: status {status!r} is not a status"] if _plain(status) == "MISSING" else []


def _failure(phase: Phase, step: str) -> RawFailure:
    """Return the raw evidence of a failed phase."""
    document = phase.document
    error, traceback = document.get("error"), document.get("traceback")
    if isinstance(error, Mapping):
        traceback = traceback or error.get("traceback_tail")
        error = ": ".join(str(error[key]) for key in ("type", "message") if error.get(key))
    log = document.get("log_tail")
    exit_document = document.get("exit")
    ending: Mapping[str, Any] = exit_document if isinstance(exit_document, Mapping) else {}
    error = error if isinstance(error, str) else None
    return RawFailure(
        step=step,
        phase=phase.name or None,
        error=error,
        traceback=traceback if isinstance(traceback, str) else None,
        logs=(("log", log),) if isinstance(log, str) else (),
        exit_code=_integer(ending.get("code")),
        signal=_integer(ending.get("signal")),
        ended_by="deadline" if document.get("status") == "TIMEOUT" else None,
        category=_known_category(error, document),
    )


def _known_category(error: Optional[str], document: Mapping[str, Any]) -> Optional[str]:
    """Return the category that a document itself names: a known error word or a failed check.

    A program that judged the answers had a living engine: a traceback in its log is then not the cause.
    """
    word = (error or "").split(":")[0].strip()
    if word in _KNOWN_ERRORS:
        return word
    checks = document.get("checks")
    judged = document.get("category") == "empty_or_garbled"
    if not isinstance(checks, Mapping) or (error and document.get("traceback") and not judged):
        return None
    failed = {
        name for name, check in checks.items() if isinstance(check, Mapping) and check.get("ok") is False
    }
    if "finite_logprobs" in failed:
        return "numerical"
    return "empty_or_garbled" if failed & {"non_empty", "not_degenerate"} else None


def _unseen(requested: Mapping[str, Any], observed: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """Return the requested parts of the stack without positive evidence."""
    environment = _environment(requested)
    full = requested.get("stack") == "full"
    missing = []
    if (full or "fl" in environment.get("VLLM_PLUGINS", "").split(",")) and not _loaded(observed):
        missing.append(("vllm-plugin-FL", "no evidence that the fl plugin was loaded"))
    if environment.get("USE_FLAGGEMS") == "1" and not _count(observed.get("flaggems_ops")):
        missing.append(("FlagGems", "the list of active operators is missing or empty"))
    if environment.get("FLAGCX_PATH") and observed.get("flagcx_loaded") is not True:
        missing.append(("FlagCX", "the FlagCX library was not mapped"))
    return missing


def _environment(requested: Mapping[str, Any]) -> Dict[str, str]:
    environment = requested.get("env")
    return (
        {str(key): str(value) for key, value in environment.items()}
        if isinstance(environment, Mapping)
        else {}
    )


def _loaded(observed: Mapping[str, Any]) -> bool:
    """Return whether the fl plugin shows in the plugins or in the platform class."""
    plugins = observed.get("plugins_loaded")
    named = isinstance(plugins, list) and "fl" in plugins
    platform = str(observed.get("vllm_platform") or "")
    return named or platform == "plugin:fl" or "vllm_fl" in platform


def _count(value: Any) -> int:
    """Return a number of operators given as a number or as their list."""
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _integer(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
