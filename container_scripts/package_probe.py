"""Import one package in a process of its own and write down what came of it.

Belongs here: the program that a validator starts for each package (so that a crash costs one package
only), and the function that starts it. Does not belong here: whether what was found is good enough.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.commands import run_command
from container_scripts.document import Document, describe_exception, write_atomically

PLATFORM_GROUP = "vllm.platform_plugins"
GENERAL_GROUP = "vllm.general_plugins"
KEPT_OUTPUT = 2000
TORCH_BACKENDS = (
    ("cuda", None),
    ("npu", "torch_npu"),
    ("musa", "torch_musa"),
    ("mlu", "torch_mlu"),
    ("gcu", "torch_gcu"),
    ("xpu", None),
)


@dataclass(frozen=True)
class ImportOutcome:
    """What importing a package showed; ``error`` is None if it and its entry points loaded."""

    importable: bool = False
    version: Optional[str] = None
    path: Optional[str] = None
    error: Optional[str] = None
    traceback: Optional[str] = None
    entry_points: Dict[str, List[str]] = field(default_factory=dict)
    torch: Optional[Document] = None


def probe_import(import_name: str, timeout_s: float, entry_point: Optional[str] = None) -> ImportOutcome:
    """Import ``import_name`` in a fresh interpreter and load its vLLM entry points named ``entry_point``.

    A death by signal, a time-out (``timeout_s`` seconds) or an exit without answer is an outcome with error.
    """
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        answer = os.path.join(folder, "answer.json")
        argv = [sys.executable, os.path.abspath(__file__), "--import-name", import_name, "--answer", answer]
        if entry_point:
            argv += ["--entry-point", entry_point]
        done = run_command(argv, timeout_s, cwd=folder)
        found: Dict[str, Any] = {}
        if os.path.exists(answer):
            with open(answer, encoding="utf-8") as handle:
                found = json.load(handle)
    if done.timed_out:
        found["error"] = f"TimeoutError: import {import_name} did not end within {timeout_s:g} s"
    elif done.code is not None and done.code < 0:
        found["error"] = f"ProcessDied: import {import_name} was ended by {signal.Signals(-done.code).name}"
    elif not found:
        found["error"] = f"ProcessDied: import {import_name} left no answer (exit code {done.code})"
    if found.get("error"):
        found["importable"] = found.get("importable", False) and not done.timed_out and done.code == 0
        found.setdefault("traceback", done.output[-KEPT_OUTPUT:] or None)
    return ImportOutcome(**found)


def import_here(import_name: str, entry_point: Optional[str] = None) -> Document:
    """Import ``import_name`` in this process and return the fields of an ImportOutcome."""
    found: Document = {}
    try:
        module = importlib.import_module(import_name)
    except BaseException as error:  # an extension may raise anything, SystemExit included
        return {"importable": False, **describe_exception(error)}
    version = getattr(module, "__version__", None)
    found.update(importable=True, version=str(version) if version else None, path=_path_of(module))
    if import_name == "torch":
        found["torch"] = describe_torch(module)
    if entry_point:
        try:
            found["entry_points"] = {
                group: load_entry_points(group, entry_point) for group in (PLATFORM_GROUP, GENERAL_GROUP)
            }
        except BaseException as error:
            found.update(describe_exception(error))
    return found


def _path_of(module: object) -> Optional[str]:
    path = getattr(module, "__file__", None)
    return str(path) if path else None


def load_entry_points(group: str, name: str) -> List[str]:
    """Load every entry point called ``name`` of ``group`` and return all names of the group, in order."""
    points = _entry_points(group)
    for point_name, point in points:
        if point_name == name:
            point.load()
    return sorted({point_name for point_name, _ in points})


def _entry_points(group: str) -> List[Tuple[str, Any]]:
    from importlib.metadata import entry_points

    if sys.version_info >= (3, 10):
        return [(point.name, point) for point in entry_points(group=group)]
    return [(point.name, point) for point in entry_points().get(group, ())]


def describe_torch(torch: Any) -> Document:
    """Return version, backend and device count of an imported torch; a broken runtime is an ``error``."""
    versions = torch.version
    facts: Document = {
        "version": str(torch.__version__),
        "cuda": getattr(versions, "cuda", None),
        "hip": getattr(versions, "hip", None),
        "backend": "cpu",
        "device_count": 0,
        "device_names": [],
        "error": None,
    }
    try:
        for backend, extension in TORCH_BACKENDS:
            if extension and importlib.util.find_spec(extension):
                importlib.import_module(extension)
            runtime = getattr(torch, backend, None)
            count = runtime.device_count() if runtime is not None else 0
            if runtime is not None and count:
                facts["backend"] = "hip" if backend == "cuda" and facts["hip"] else backend
                facts["device_count"] = count
                facts["device_names"] = [runtime.get_device_name(index) for index in range(count)]
                break
    except Exception as error:
        facts["error"] = describe_exception(error)["error"]
    return facts


def main() -> int:
    """Answer one probe: import, write the answer, end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--import-name", required=True)
    parser.add_argument("--entry-point", help="also load the vLLM entry points of this name")
    parser.add_argument("--answer", required=True, metavar="FILE")
    arguments = parser.parse_args()
    if not __package__:
        del sys.path[0]  # what counts is what is installed, not what lies beside this folder
    found = import_here(arguments.import_name, arguments.entry_point)
    write_atomically(arguments.answer, json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
