"""What fault tests share: a program that does what a test tells it, workers that break at a chosen moment."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from container_scripts.lost_jobs import MARKER_VARIABLE
from container_scripts.processes import Process, all_processes, has_variable
from container_scripts.scripts_digest import script_files
from flagrelease_assets.workers.base import Completed
from flagrelease_assets.workers.config import WorkerTimeouts
from flagrelease_assets.workers.docker import DockerWorker
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, JobSpec
from tests.doubles.instant_scripts import RUN_AS_PROGRAM
from tests.integration.rig import Rig

PATIENCE_S = 60
TIMEOUTS = WorkerTimeouts(connect_s=10, command_s=20, copy_s=20, reconnect_s=60, busy_s=2)
T = TypeVar("T")

WORKER_KINDS = ("local", "docker")
Place = Callable[[str, Path], AbstractContextManager[dict[str, Any]]]
"""Opens the place of a worker of this kind that shares this folder; gives its keys in a deployment file."""

TOY_PROGRAM = '''
"""Runs the code that its test gives it, with ``argv``, ``output`` and ``token`` at hand."""
import json, os, signal, subprocess, sys, time

code, *argv = sys.argv[1:-2]
output = sys.argv[-1]
token = os.environ["FLAGRELEASE_RUN_TOKEN"]

def write(document):
    with open(output, "w") as handle:
        json.dump(document, handle)

exec(code)
'''

PASSES = "write({'run_token': token, 'status': 'PASS'})"


def make_toy_scripts(folder: Path) -> Path:
    """Return the worker programs and the toy program beside them."""
    root = folder / "container_scripts"
    root.mkdir()
    for name, content in script_files(str(SCRIPTS_ROOT)).items():
        (root / name).write_bytes(content)
    (root / "toy.py").write_text(TOY_PROGRAM)
    return root


def toy(code: str, *arguments: str, **settings: Any) -> JobSpec:
    """Return a job that runs ``code``."""
    defaults: dict[str, Any] = {"run_id": "run-1", "deadline_s": 60, "idle_s": 60, "grace_s": 1}
    return JobSpec.model_validate(
        {
            "step": "step",
            "name": "toy",
            "program": "toy",
            "arguments": (code, *arguments),
            **defaults,
            **settings,
        }
    )


def left_of(run_token: str) -> list[Process]:
    """Return the living processes of a job, whichever container of this machine they are in."""
    return [
        p for p in all_processes() if p.alive and has_variable(p.id.pid, "FLAGRELEASE_RUN_TOKEN", run_token)
    ]


def wait_for(look: Callable[[], T | None], what: str, limit_s: float = PATIENCE_S) -> T:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {limit_s} s")


PHASES = ("prepare", "start", "running", "fetch")
"""The moments of a job, seen from the host: files go in, it starts, it is polled, its result is fetched."""


class BreakingDockerWorkerDouble(DockerWorker):
    """A Docker worker at whose door something happens once, at the beginning of one phase of a job."""

    phase: str | None = None
    fault: Callable[[], object] = staticmethod(lambda: None)

    def break_at(self, phase: str, fault: Callable[[], object]) -> None:
        assert phase in PHASES
        self.phase, self.fault = phase, fault

    def _reach(self, phase: str) -> None:
        if self.phase == phase:
            self.phase = None
            self.fault()

    def execute(
        self, argv: Sequence[str], *, timeout_s: float | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        if "start" in argv:
            self._reach("start")
        if "poll" in argv:
            self._reach("running")
        return super().execute(argv, timeout_s=timeout_s, env=env)

    def put_files(self, folder: str, files: Mapping[str, bytes]) -> None:
        if "job.json" in files:
            self._reach("prepare")
        super().put_files(folder, files)

    def read_file(self, path: str, *, max_bytes: int) -> bytes:
        if path.endswith("result.json"):
            self._reach("fetch")
        return super().read_file(path, max_bytes=max_bytes)


def assert_clean(rig: Rig) -> None:
    """Every job that was started on the rig's workers has ended with all its processes; no device is held."""
    assert_clean_below(rig.folder)


def assert_clean_below(folder: Path) -> None:
    """The same of workers whose work roots and locks lie below ``folder``."""
    jobs = [Path(file).parent for file in folder.glob("worker-*/runs/*/*/*/state.json")]
    assert jobs, "nothing ran"
    assert [job for job in jobs if not (job / "exit.json").exists()] == []
    markers = [json.loads((job / "state.json").read_text()).get("marker", "none") for job in jobs]
    living = [p for p in all_processes() if p.alive]
    assert [p for p in living if any(has_variable(p.id.pid, MARKER_VARIABLE, m) for m in markers)] == []
    assert list((folder / "locks").iterdir()) == []


def sabotage(rig: Rig, program: str, step: str, code: str, *, times: int = 1) -> None:
    """Let a program of the rig's worker do ``code`` first, in its first ``times`` starts within ``step``.

    ``code`` has ``output`` (where the result belongs), ``token``, and the usual modules at hand.
    """
    assert rig.scripts is not None
    sabotage_scripts(rig.scripts, rig.folder, program, step, code, times)


def make_breakable(rig: Rig, *programs: str) -> None:
    """Let `sabotage` break these programs from now on without changing them: results above stay fresh."""
    assert rig.scripts is not None
    for program in programs:
        hook = _hook(rig.folder, program)
        code = (
            f"import pathlib\nhook = pathlib.Path({str(hook)!r})\nif hook.exists(): exec(hook.read_text())\n"
        )
        _insert(rig.scripts / f"{program}.py", code)


def sabotage_scripts(scripts: Path, folder: Path, program: str, step: str, code: str, times: int = 1) -> None:
    """Do the same in a folder of worker programs; ``folder`` gets the file that says it has happened."""
    counter = folder / f"sabotaged-{program}-{step}"
    counter.unlink(missing_ok=True)
    body = f"""
import json, os, pathlib, signal, sys, time
output, token = sys.argv[-1], os.environ.get("FLAGRELEASE_RUN_TOKEN")
counter = pathlib.Path({str(counter)!r})
starts = int(counter.read_text()) if counter.exists() else 0
if "/{step}/" in os.getcwd() and starts < {times}:
    counter.write_text(str(starts + 1))
    print("sabotaged", flush=True)
{textwrap.indent(textwrap.dedent(code), "    ")}
"""
    file, hook = scripts / f"{program}.py", _hook(folder, program)
    if str(hook) in file.read_text(encoding="utf-8"):
        hook.write_text(body, encoding="utf-8")
    else:
        _insert(file, body)


def token_of_sabotaged_job(folder: Path, program: str, step: str, limit_s: float = PATIENCE_S) -> str:
    """Return the run token of the job that is being sabotaged, once it is."""

    def look() -> str | None:
        if not (folder / f"sabotaged-{program}-{step}").exists():
            return None
        for file in folder.glob(f"worker-*/runs/*/{step}/*/job.json"):
            token = str(json.loads(file.read_text())["run_token"])
            if left_of(token):
                return token
        return None

    return wait_for(look, f"a sabotaged job of {step}", limit_s)


def _hook(folder: Path, program: str) -> Path:
    return folder / f"hook-{program}.py"


def _insert(file: Path, body: str) -> None:
    head, main, tail = file.read_text(encoding="utf-8").partition(RUN_AS_PROGRAM)
    file.write_text(head + main + textwrap.indent(body, "    ") + tail, encoding="utf-8")
