"""Makes the Python environment of a local worker.

Belongs here: an empty virtual environment into which the release pipeline installs vLLM.
Does not belong here: what is installed into it.
"""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
import venv
from pathlib import Path

from container_scripts.commands import run_command
from flagrelease_assets.demo.progress import DemoError, Progress

CHECK_TIMEOUT_S = 60
SYSTEM_LIBRARIES = {"numa": "libnuma1", "gomp": "libgomp1"}
"""Shared libraries that vLLM's CPU build loads -> the Debian packages that have them."""


def ensure_worker_venv(folder: Path, progress: Progress) -> Path:
    """Return the interpreter of the virtual environment ``folder``, which is made if it does not work yet.

    Raises DemoError if Python cannot make one.
    """
    python = folder / "bin" / "python3"
    if not _has_pip(python):
        progress(f"Making the local worker's environment {folder}")
        try:
            venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise DemoError(
                f"{sys.executable} cannot make {folder}: {error} (Debian package python3-venv)"
            ) from error
    return python


def missing_system_libraries() -> list[str]:
    """Return the Debian packages whose libraries vLLM's CPU build needs and this machine lacks."""
    return [package for name, package in SYSTEM_LIBRARIES.items() if not ctypes.util.find_library(name)]


def _has_pip(python: Path) -> bool:
    return run_command([str(python), "-m", "pip", "--version"], CHECK_TIMEOUT_S).succeeded
