"""Many releases with random faults over two vendors: ``python -m benchmarks.soak`` (`make soak`).

Every verdict is known beforehand, because the fault is; what may not grow is counted after each release:
processes, threads, file descriptors, temporary folders, memory, execs of the engine. It ends with 1 if a
verdict was wrong or anything is left. Real: assets, Dagster instance on SQLite, store, workers (one vendor's
is this machine, the other's a container, where an engine of our own can be started), supervisor, locks. The
programs in the worker answer at once, or misbehave as the fault says.
Belongs here: faults, their verdicts, the counting. Does not belong here: how fast a release is (`releases`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker
from rich.console import Console
from rich.table import Table

from tests.faults.own_engine import PYTHON, own_engine, why_no_own_engine

VENDORS = ("nvidia", "metax")
IN_A_CONTAINER = "metax"
LOCAL: dict[str, Any] = {"kind": "local"}
PROGRAMS = ("run_offline_inference", "test_serve_mode", "benchmark_stack")
MEASURED = ("run_a_result", "run_b_result", "diff_analysis", "recommended_stack", "benchmark_metrics")
WARM_UP = 10
"""Releases after which nothing may grow any more: imports and caches are there by then."""

MEMORY_GROWTH_MB = 60.0
"""What the memory may differ between the first and the last quarter, in MB: noise of the allocator."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and the verdict that must follow from it."""

    kind: str
    program: str
    stack: str
    verdict: str


FAULTS = (
    Fault("none", "", "", "PASS"),
    Fault("orphan", "run_offline_inference", "full", "PASS"),
    Fault("big_log", "test_serve_mode", "full", "PASS"),
    Fault("binary_log", "test_serve_mode", "base", "PASS"),
    Fault("fails", "test_serve_mode", "full", "PARTIAL"),
    Fault("fails", "run_offline_inference", "base", "PARTIAL"),
    Fault("killed", "run_offline_inference", "full", "PARTIAL"),
    Fault("killed", "test_serve_mode", "any", "FAIL"),
    Fault("hangs", "run_offline_inference", "full", "PARTIAL"),
    Fault("ignores_term", "run_offline_inference", "full", "PARTIAL"),
    Fault("no_result", "test_serve_mode", "full", "PARTIAL"),
    Fault("truncated", "test_serve_mode", "full", "PARTIAL"),
    Fault("foreign_result", "test_serve_mode", "full", "PARTIAL"),
    Fault("killed", "benchmark_stack", "full", "PARTIAL"),
)

_MISBEHAVE = """import json, os, signal, subprocess, sys, time
with open({file!r}, encoding="utf-8") as handle:
    fault = json.load(handle)
if fault["program"] == {program!r} and (fault["stack"] == "any" or fault["stack"] in sys.argv):
    kind, output = fault["kind"], sys.argv[sys.argv.index("--output") + 1]
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "ignores_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind in ("hangs", "ignores_term"):
        time.sleep(600)
    if kind == "orphan":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if kind == "big_log":
        for _ in range(20_000):
            print("x" * 500)
    if kind == "binary_log":
        os.write(1, bytes(range(256)) * 400)
    if kind == "no_result":
        sys.exit(0)
    if kind in ("fails", "truncated", "foreign_result"):
        token = "another-run" if kind == "foreign_result" else os.environ.get("FLAGRELEASE_RUN_TOKEN")
        text = json.dumps({{"run_token": token, "status": "FAIL", "error": "RuntimeError: device lost"}})
        with open(output, "w", encoding="utf-8") as handle:
            handle.write(text[:20] if kind == "truncated" else text)
        sys.exit(1 if kind == "fails" else 0)
"""


@dataclass(frozen=True)
class Measurement:
    """One release and what was left after it."""

    fault: str
    expected: str
    verdict: str
    seconds: float
    threads: int
    descriptors: int
    processes: int
    temporary: int
    memory_mb: float
    execs: int


def soak_vendor(
    vendor: str, place: dict[str, Any], releases: int, seed: int, folder: Path, end: float
) -> Iterator[Measurement]:
    """Release one vendor's toy model again and again until ``end`` (monotonic seconds).

    ``place`` are the keys of a deployment file that say where the worker is.
    """
    import dagster as dg

    from flagrelease_assets.launch import launch
    from flagrelease_assets.resources import DeploymentResource

    fault_file = folder / "fault.json"
    resource = DeploymentResource(
        path=str(_write_deployment(vendor, place, folder)),
        scripts_root=str(_write_scripts(folder, fault_file)),
    )
    chance = random.Random(seed)
    faults = [FAULTS[number % len(FAULTS)] for number in range(releases)]
    chance.shuffle(faults)
    with dg.DagsterInstance.local_temp(
        str(folder / "dagster"), overrides={"telemetry": {"enabled": False}}
    ) as instance:
        for fault in [FAULTS[0], *faults[1:]]:
            if time.monotonic() > end:
                return
            fault_file.write_text(json.dumps(asdict(fault)), encoding="utf-8")
            began = time.monotonic()
            result = launch(instance, "release", vendor, "org--toy", force=MEASURED, deployment=resource)
            verdict = result.report.status.value if result.report else f"no report: {result.failure}"
            name = f"{fault.kind} {fault.program} {fault.stack}".strip()
            yield Measurement(name, fault.verdict, verdict, time.monotonic() - began, *_left(folder, place))


def _left(folder: Path, place: dict[str, Any]) -> tuple[int, int, int, int, float, int]:
    """Return threads, descriptors, processes of jobs, temporary folders, memory in MB, the engine's execs."""
    from container_scripts.lost_jobs import MARKER_VARIABLE
    from container_scripts.processes import all_processes

    own = str(folder).encode()
    jobs = 0
    for process in all_processes():
        try:
            environment = Path(f"/proc/{process.id.pid}/environ").read_bytes()
        except OSError:
            continue
        jobs += process.alive and MARKER_VARIABLE.encode() in environment and own in environment
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
        jobs,
        len(list(Path(tempfile.gettempdir()).glob("flagrelease-*"))),
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        _execs(place),
    )


def _execs(place: dict[str, Any]) -> int:
    """Return how many commands the engine still runs in the worker's container."""
    if place == LOCAL:
        return 0
    client = docker.DockerClient(base_url=place["engine"])
    try:
        return len(client.api.inspect_container(place["container"])["ExecIDs"] or [])
    finally:
        client.close()


def _write_deployment(vendor: str, place: dict[str, Any], folder: Path) -> Path:
    import yaml

    worker = {
        **place,
        "work_root": str(folder / "worker"),
        "lock_root": str(folder / "locks"),
        "retries": 0,
        "deadlines": {"startup": 20, "startup_idle": 3, "request": 1, "stop_grace": 1},
    }
    content = {
        "results": str(folder / "results"),
        "workers": {vendor: worker},
        "models": [{"id": "org/toy", "source": "folder", "path": "/models/toy"}],
    }
    file = folder / "flagrelease.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def _write_scripts(folder: Path, fault_file: Path) -> Path:
    from tests.doubles.instant_scripts import FULL_STACK, RUN_AS_PROGRAM, make_instant_scripts

    root = make_instant_scripts(folder / "scripts", FULL_STACK)
    for program in PROGRAMS:
        file = root / f"{program}.py"
        code = textwrap.indent(_MISBEHAVE.format(file=str(fault_file), program=program), "    ")
        file.write_text(file.read_text().replace(RUN_AS_PROGRAM, RUN_AS_PROGRAM + code))
    return root


def run_child(
    vendor: str, place: dict[str, Any], releases: int, seed: int, folder: Path, seconds: float
) -> None:
    """Print one line of JSON for each release of a vendor."""
    for measurement in soak_vendor(vendor, place, releases, seed, folder, time.monotonic() + seconds):
        print(json.dumps(asdict(measurement)), flush=True)


@contextmanager
def places(top: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Open the place of each vendor's worker; each shares its folder below ``top``."""
    if why_not := why_no_own_engine():
        Console(stderr=True).print(f"both workers are this machine: {why_not}")
        yield dict.fromkeys(VENDORS, LOCAL)
        return
    with own_engine() as engine:
        container = engine.run(top / IN_A_CONTAINER)
        made = {
            "kind": "docker",
            "container": str(container.name),
            "engine": engine.address,
            "python": PYTHON,
        }
        yield {vendor: made if vendor == IN_A_CONTAINER else LOCAL for vendor in VENDORS}


def soak(releases: int, minutes: float, seed: int) -> dict[str, list[Measurement]]:
    """Release both vendors at the same time, each in a process of its own; return what was measured."""
    found: dict[str, list[Measurement]] = {}
    progress = Console(stderr=True)
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        for vendor in VENDORS:
            for name in ("tmp", "dagster", "scripts"):
                (top / vendor / name).mkdir(parents=True)
        where = stack.enter_context(places(top))
        children = {}
        for number, vendor in enumerate(VENDORS):
            folder = top / vendor
            command = [sys.executable, "-m", "benchmarks.soak", "--child", vendor, "--folder", str(folder)]
            command += [
                "--place",
                json.dumps(where[vendor]),
                "--releases",
                str(releases // len(VENDORS)),
                "--minutes",
                str(minutes),
            ]
            children[vendor] = subprocess.Popen(
                [*command, "--seed", str(seed + number)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "TMPDIR": str(folder / "tmp")},
            )

        def follow(vendor: str, child: subprocess.Popen[str]) -> None:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    one = Measurement(**json.loads(line))
                    found.setdefault(vendor, []).append(one)
                    mark = "" if one.verdict == one.expected else f", expected {one.expected}"
                    progress.print(f"{vendor} {len(found[vendor])}: {one.fault}: {one.verdict}{mark}")

        threads = [threading.Thread(target=follow, args=item) for item in children.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for vendor, child in children.items():
            if child.wait() != 0:
                raise RuntimeError(f"the soak of {vendor} ended with code {child.returncode}")
    return found


def judge(vendor: str, measured: list[Measurement]) -> list[str]:
    """Return what is wrong: verdicts, and what grew after the warm-up."""
    wrong = [
        f"{one.fault}: {one.verdict}, not {one.expected}" for one in measured if one.verdict != one.expected
    ]
    later = measured[WARM_UP:] or measured
    quarter = max(1, len(later) // 4)
    problems = [f"{vendor}: {count} times {text}" for text, count in Counter(wrong).items()]
    if leftover := max(one.processes for one in measured):
        problems.append(f"{vendor}: {leftover} processes of jobs were left")
    if leftover := max(one.execs for one in measured):
        problems.append(f"{vendor}: {leftover} execs of the engine were left")
    for name in ("threads", "descriptors", "temporary"):
        early, late = getattr(later[0], name), getattr(later[-1], name)
        if late > early:
            problems.append(f"{vendor}: {name} grew from {early} to {late}")
    growth = _memory(later[-quarter:]) - _memory(later[:quarter])
    if growth > MEMORY_GROWTH_MB:
        problems.append(f"{vendor}: memory grew by {growth:.0f} MB")
    return problems


def _memory(measured: list[Measurement]) -> float:
    return statistics.median(one.memory_mb for one in measured)


def show(found: dict[str, list[Measurement]], seconds: float) -> None:
    """Print the figures."""
    table = Table(
        "Vendor", "Releases", "Right", "s each", "Threads", "Descriptors", "Left over", "MB first → last"
    )
    for vendor, measured in found.items():
        later = measured[WARM_UP:] or measured
        table.add_row(
            vendor,
            str(len(measured)),
            str(sum(one.verdict == one.expected for one in measured)),
            f"{statistics.median(one.seconds for one in measured):.1f}",
            f"{later[0].threads} → {later[-1].threads}",
            f"{later[0].descriptors} → {later[-1].descriptors}",
            f"{max(one.processes for one in measured)} processes, {later[-1].temporary} folders, "
            f"{max(one.execs for one in measured)} execs",
            f"{later[0].memory_mb:.0f} → {later[-1].memory_mb:.0f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{sum(map(len, found.values()))} releases in {seconds:.0f} s")


def main() -> int:
    """Soak, print the figures, and return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--releases", type=int, default=200, help="in all, over both vendors")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults")
    parser.add_argument("--child", choices=VENDORS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=json.loads, default=LOCAL, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.child:
        run_child(
            arguments.child,
            arguments.place,
            arguments.releases,
            arguments.seed,
            arguments.folder,
            arguments.minutes * 60,
        )
        return 0
    began = time.monotonic()
    found = soak(arguments.releases, arguments.minutes, arguments.seed)
    show(found, time.monotonic() - began)
    problems = [problem for vendor, measured in found.items() for problem in judge(vendor, measured)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
