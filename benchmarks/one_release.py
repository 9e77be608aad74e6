"""One release with programs that return at once, in a process of its own; prints a JSON line about it.

Run by `benchmarks.releases`: ``python -m benchmarks.one_release FOLDER MODEL WORKER``.
Belongs here: what the measured process does. Does not belong here: repeating and judging it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.releases import FIRST, SECOND
from flagrelease_assets.home import HOME_VARIABLE, open_instance
from tests.integration.rig import TOY, Rig

MODELS = [{**TOY, "id": name} for name in (FIRST, SECOND)]


def release(folder: Path, model: str, worker: dict[str, Any]) -> dict[str, Any]:
    """Release one model on a worker and return what a benchmark wants to know of it.

    The instance is configured as the project's, in the folder: runs and events go to SQLite files.
    """
    os.environ[HOME_VARIABLE] = str(folder / "home")
    with open_instance() as instance:
        rig = Rig(folder, instance, models=MODELS, workers={"cpu": worker})
        result = rig.run(model=model)
        if result.failure or result.report is None:
            raise RuntimeError(f"the release left no report: {result.failure}")
        return {
            "seconds": result.seconds,
            "steps": instance.get_run_stats(result.run_id).steps_succeeded,
            "jobs": [step for step, message in rig.messages if ": started " in message],
            "peak_mb": _peak_memory_mb(),
        }


def _peak_memory_mb() -> float:
    """Return the most memory that this process ever held resident.

    The kernel's VmHWM, which starts anew with the program; getrusage would count a parent's memory too.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    print(json.dumps(release(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))))
