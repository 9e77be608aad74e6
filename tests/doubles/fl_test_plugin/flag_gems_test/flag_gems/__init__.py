"""A test part in the place of FlagGems: replaces some of torch's CPU operators and records which ran.

Belongs here: switching the operators on, the record of what ran.
Does not belong here: the operators (ops/).
"""

from __future__ import annotations

import faulthandler
import os
import threading
from pathlib import Path

import fl_test_mode
import torch

__version__ = "5.0.2"

if fl_test_mode.misbehaves("flaggems", "raises_at_load"):
    raise RuntimeError("no operator library for this device")

from flag_gems.ops import idle
from flag_gems.ops.argmax import argmax
from flag_gems.ops.embedding import embedding

_RUNNING = {"argmax": argmax, "embedding": embedding}
_library = None
_record_path = None
_recorded = set()
_registered = []


def all_registered_ops():
    """Return the names of the operators that enable() has replaced."""
    return list(_registered)


def enable(unused=(), record=False, path="/tmp/flaggems_enable_oplist.txt"):
    """Replace this process's operators but those ``unused``; with ``record`` write to ``path`` which ran."""
    global _library, _record_path
    if _library is None:
        _library = torch.library.Library("aten", "IMPL")
        _registered.extend(name for name in (*_RUNNING, *idle.NAMES) if name not in unused)
        for name, operator in _RUNNING.items():
            if name in _registered:
                _library.impl(name, _recorded_as(f"flag_gems.ops.{name}.{name}", operator), "CPU")
    _record_path = path if record else None
    if fl_test_mode.misbehaves("flaggems", "crashes_after_startup"):
        threading.Thread(target=_crash, name="flag_gems", daemon=True).start()


def _recorded_as(name, operator):
    def run(*arguments, **keywords):
        if _record_path and name not in _recorded:
            _recorded.add(name)
            with Path(_record_path).open("a", encoding="utf-8") as record:
                record.write(f"[DEBUG] {name}: GEMS {name.rpartition('.')[2].upper()}\n")
        return operator(*arguments, **keywords)

    return run


def _crash():
    faulthandler.enable()
    fl_test_mode.wait_for_startup()
    os.abort()
