"""Timing a fresh interpreter from its start to its end.

Belongs here: the environment in which measured processes run. Does not belong here: what they run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parent.parent
LIMIT_S = 300


class Finished(NamedTuple):
    """The seconds that a process took, interpreter start included, and its standard output."""

    seconds: float
    stdout: str


def run_python(arguments: Sequence[str], bytecode: Path) -> Finished:
    """Run the interpreter of this environment in the project's folder.

    Args:
        arguments: the interpreter's command line.
        bytecode: folder for compiled modules: an installed package has them, a fresh checkout has not,
            and compiling is no part of loading. The first process with a folder fills it.

    Raises RuntimeError with the last line of its error output if it fails; all of it is printed.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**inherited, "PYTHONPYCACHEPREFIX": str(bytecode)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        complaint = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with {done.returncode}: {complaint}")
    return Finished(seconds, done.stdout)
