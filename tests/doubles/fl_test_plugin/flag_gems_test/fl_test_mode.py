"""Which part of the test stack misbehaves, and how: chosen by two settings.

Belongs here: reading FL_TEST_MODE and FL_TEST_COMPONENT, and what the processes of one server tell
each other. Does not belong here: the misbehaviour itself, whose frames must lie in the guilty package.

The settings are variables; FL_TEST_FILE may name a file of NAME=VALUE lines that say otherwise, so that
one worker environment serves several modes.

FL_TEST_MODE: healthy, raises_at_load, corrupts_logits, hangs_in_first_request, crashes_after_startup.
FL_TEST_COMPONENT: plugin, flaggems, flagcx, or interaction (FlagGems, only while FlagCX is there too).
FL_TEST_OPERATORS: which operators of FlagGems corrupt their results with corrupts_logits (embedding).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

MODES = ("healthy", "raises_at_load", "corrupts_logits", "hangs_in_first_request", "crashes_after_startup")
COMPONENTS = ("plugin", "flaggems", "flagcx", "interaction")
_MARKER_VARIABLE = "FL_TEST_STARTUP_MARKER"


def misbehaves(component: str, mode: str) -> bool:
    """Say whether ``component`` is to show the defect ``mode``; raises ValueError for an unknown setting."""
    settings = _settings()
    wanted = settings.get("FL_TEST_MODE", "healthy")
    guilty = settings.get("FL_TEST_COMPONENT", "plugin")
    if wanted not in MODES or guilty not in COMPONENTS:
        raise ValueError(f"FL_TEST_MODE={wanted} FL_TEST_COMPONENT={guilty}: use {MODES} and {COMPONENTS}")
    if guilty == "interaction":
        return wanted == mode and component == "flaggems" and bool(os.environ.get("FLAGCX_PATH"))
    return wanted == mode and guilty == component


def corrupts(operator: str) -> bool:
    """Say whether an operator of FlagGems is to give wrong results."""
    guilty = _settings().get("FL_TEST_OPERATORS", "embedding").split(",")
    return operator in guilty and misbehaves("flaggems", "corrupts_logits")


def announce_startup() -> None:
    """Have this process, if it becomes the API server, tell its children when its start-up is complete."""
    if _settings().get("FL_TEST_MODE") != "crashes_after_startup" or _MARKER_VARIABLE in os.environ:
        return
    import uvicorn

    marker = Path(tempfile.mkdtemp(prefix="fl-test-")) / "started"
    os.environ[_MARKER_VARIABLE] = str(marker)
    startup = uvicorn.Server.startup

    async def startup_and_tell(self, *arguments, **keywords):
        await startup(self, *arguments, **keywords)
        marker.touch()

    uvicorn.Server.startup = startup_and_tell


def wait_for_startup() -> None:
    """Return when the API server above this process has completed its start-up."""
    marker = Path(os.environ[_MARKER_VARIABLE])
    while not marker.exists():
        time.sleep(0.02)


def _settings():
    settings = dict(os.environ)
    if os.environ.get("FL_TEST_FILE"):
        lines = Path(os.environ["FL_TEST_FILE"]).read_text(encoding="utf-8").splitlines()
        settings.update(line.split("=", 1) for line in lines)
    return settings
