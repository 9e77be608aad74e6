"""Ask a fresh interpreter which platform and plugins vLLM chooses in this environment.

Belongs here: the question, for servers whose log does not say it (from about 0.30 on, vLLM chooses its
platform before its logging is set up). Does not belong here: what the answer is worth (stack_evidence).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import List, Optional

from container_scripts import server_log
from container_scripts.commands import run_command

TIMEOUT_S = 60.0
_ANSWER = "vllm_platform="
_QUESTION = f"""
import logging
logging.basicConfig(level=logging.INFO)
from vllm.platforms import current_platform
print("{_ANSWER}" + type(current_platform).__module__ + "." + type(current_platform).__name__, flush=True)
"""


@dataclass(frozen=True)
class PlatformProbe:
    """The answer: the platform's class, None if there was no answer, and what became of the plugins."""

    platform: Optional[str] = None
    plugins_loaded: List[str] = field(default_factory=list)
    plugins_failed: List[str] = field(default_factory=list)


def probe_platform(timeout_s: float = TIMEOUT_S) -> PlatformProbe:
    """Return what vLLM settles on with this process's interpreter and environment; never raises."""
    done = run_command([sys.executable, "-c", _QUESTION], timeout_s)
    answers = [line[len(_ANSWER) :] for line in done.output.splitlines() if line.startswith(_ANSWER)]
    return PlatformProbe(
        answers[-1] if answers else None,
        server_log.plugins_loaded(done.output) if answers else [],
        server_log.plugins_failed(done.output),
    )
