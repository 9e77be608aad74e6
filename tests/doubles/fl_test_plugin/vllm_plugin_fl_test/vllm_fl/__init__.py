"""A test part in the place of vllm-plugin-FL: a platform for vLLM on the CPU, with or without FlagGems.

Belongs here: the entry points. Does not belong here: what the worker does (worker.py).
"""

from __future__ import annotations

import importlib
import os

import fl_test_mode

if fl_test_mode.misbehaves("plugin", "raises_at_load"):
    raise RuntimeError("vllm_fl does not know this version of vLLM")
if os.environ.get("USE_FLAGGEMS") == "1":
    importlib.import_module("flag_gems")
if os.environ.get("FLAGCX_PATH"):
    importlib.import_module("vllm_fl.distributed.flagcx")


def register():
    """Return the platform's class (entry point `fl` of vllm.platform_plugins)."""
    return "vllm_fl.platform.PlatformFL"


def register_model():
    """Prepare a process that will use vLLM (entry point `fl` of vllm.general_plugins)."""
    fl_test_mode.announce_startup()
