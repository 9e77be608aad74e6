"""Loads plugins as vLLM does: all if VLLM_PLUGINS is absent, none if empty, else those it names."""

from __future__ import annotations

import importlib.metadata
import os
import traceback

from vllm import logs

GROUPS = ("vllm.platform_plugins", "vllm.general_plugins")


def load() -> None:
    """Load the allowed plugins; one that raises is reported and left out."""
    allowed = os.environ.get("VLLM_PLUGINS")
    for group in GROUPS:
        for entry in importlib.metadata.entry_points(group=group):
            if allowed is not None and entry.name not in allowed.split(","):
                continue
            logs.say("APIServer", f"Loading plugin {entry.name}")
            try:
                result = entry.load()()
            except Exception:
                logs.say(
                    "APIServer", f"Failed to load plugin {entry.name}\n{traceback.format_exc()}", "ERROR"
                )
                continue
            if group == GROUPS[0] and result:
                logs.say("APIServer", f"Platform plugin {entry.name} is activated")
