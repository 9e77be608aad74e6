"""Pin FlagGems' tuners to their first candidate, in every process of an environment.

Unpinned, the first signature of a matrix product takes up to 20 s on a Hopper card. Put this file into the
environment's site-packages with a `.pth` file that says ``import tuner_cap``.
Belongs here: that hook. Does not belong here: which operators are on.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

TUNERS = "flag_gems.utils.libentry"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module of the tuners once, and changes their class when it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != TUNERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _pin(module.LibTuner)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _pin(tuner: Any) -> None:
    """Let a tuner class keep one candidate of each list."""
    original = tuner.__init__

    def pinned(self: Any, fn: Any, arg_names: Any, configs: Any, *rest: Any, **named: Any) -> None:
        original(self, fn, arg_names, list(configs)[:1], *rest, **named)

    tuner.__init__ = pinned


sys.meta_path.insert(0, _Finder())
