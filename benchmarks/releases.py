"""Measure what flagrelease itself costs: whole releases whose programs in the worker return at once.

Everything but the programs is real: assets, Dagster instance on SQLite, result store, worker, supervisor,
logs, report. What remains is the time that a release takes beyond installing, loading and serving a model.
Belongs here: repeating releases and comparing them. Does not belong here: a single release (`one_release`).
"""

from __future__ import annotations

import json
import secrets
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, NotMeasurableError
from benchmarks.fresh_process import run_python

RUNS = 3
AIM_SECONDS = 8.0
AIM_PEAK_MB = 400.0
AIM_UNCHANGED_SECONDS = 10.0
AIM_REPEATED_JOBS = 0

FIRST, SECOND = "org/first", "org/second"
"""The models of every installation, as ids."""

WorkerOf = Callable[[Path], dict[str, Any]]
"""The deployment's entry of the worker for an installation in a folder."""


@dataclass(frozen=True)
class Release:
    """One release in a process of its own; ``wall_s`` includes the start of that process."""

    wall_s: float
    seconds: float
    steps: int
    jobs: list[str]  # the step that started each
    peak_mb: float


@dataclass(frozen=True)
class Series:
    """Three releases one after another in one new installation."""

    first: Release
    unchanged: Release
    second_model: Release


def measure_first() -> tuple[Figure, ...]:
    """Return the overhead of a whole release on a worker of this machine, and its memory on the host."""
    return _overhead([series.first for series in _local_series()], AIM_SECONDS)


def measure_unchanged() -> tuple[Figure, ...]:
    """Return what the same release costs again when nothing has changed: every result is reused."""
    releases = [series.unchanged for series in _local_series()]
    return (
        Figure("jobs started", max(len(release.jobs) for release in releases), "jobs", AIM_REPEATED_JOBS),
        Figure("whole process", _wall(releases), "s", AIM_UNCHANGED_SECONDS, detail=_made_from(releases)),
    )


def measure_second_model() -> tuple[Figure, ...]:
    """Return how much of the installation a second model on the same worker repeats."""
    releases = [series.second_model for series in _local_series()]
    repeated = [_jobs_of("install_status", release) for release in releases]
    return (
        Figure("jobs of install_status", max(repeated), "jobs", AIM_REPEATED_JOBS),
        Figure("jobs in all", max(len(release.jobs) for release in releases), "jobs"),
        Figure("whole process", _wall(releases), "s", detail=_made_from(releases)),
    )


def measure_in_container() -> tuple[Figure, ...]:
    """Return the overhead of a release in a container, where every question is an exec of the engine.

    Raises NotMeasurableError if no local engine answers or it has no image of a worker.
    """
    with _container() as worker:
        series = _measure(lambda folder: {**worker, "work_root": f"/tmp/{folder.name}"})
    return _overhead([one.first for one in series])


@cache
def _local_series() -> tuple[Series, ...]:
    return _measure(
        lambda folder: {
            "kind": "local",
            "work_root": str(folder / "worker"),
            "lock_root": str(folder / "locks"),
        }
    )


def _measure(worker_of: WorkerOf) -> tuple[Series, ...]:
    with tempfile.TemporaryDirectory(prefix="flagrelease-bench-") as name:
        root = Path(name)
        installations = [root / f"{root.name}-{number}" for number in range(RUNS + 1)]
        series = [_series(folder, root / "bytecode", worker_of) for folder in installations]
    return tuple(series[1:])  # the first one filled the bytecode folder


def _series(folder: Path, bytecode: Path, worker_of: WorkerOf) -> Series:
    folder.mkdir()

    def release(model: str) -> Release:
        arguments = ["-m", "benchmarks.one_release", str(folder), model, json.dumps(worker_of(folder))]
        finished = run_python(arguments, bytecode)
        return Release(finished.seconds, **json.loads(finished.stdout.splitlines()[-1]))

    return Series(first=release(FIRST), unchanged=release(FIRST), second_model=release(SECOND))


def _overhead(releases: list[Release], aim_s: float | None = None) -> tuple[Figure, ...]:
    jobs, steps = len(releases[0].jobs), releases[0].steps
    inside = statistics.median(release.seconds for release in releases)
    peak = max(release.peak_mb for release in releases)
    return (
        Figure("whole process", _wall(releases), "s", aim_s, detail=_made_from(releases)),
        Figure("run alone", inside, "s", detail=f"{steps} steps, {jobs} jobs, imports not counted"),
        Figure("peak memory of the host process", peak, "MB", AIM_PEAK_MB),
    )


def _wall(releases: list[Release]) -> float:
    return statistics.median(release.wall_s for release in releases)


def _made_from(releases: list[Release]) -> str:
    seconds = ", ".join(f"{release.wall_s:.1f}" for release in releases)
    return f"median of {seconds} s"


def _jobs_of(step: str, release: Release) -> int:
    return sum(job_step == step for job_step in release.jobs)


@contextmanager
def _container() -> Iterator[dict[str, Any]]:
    """Run a container without network for as long as it is measured; yields its worker entry."""
    import docker.errors

    from flagrelease_assets.demo.container import WORKER_PYTHON
    from flagrelease_assets.demo.engine import connect
    from flagrelease_assets.demo.image import WORKER_IMAGE
    from flagrelease_assets.demo.progress import DemoError

    try:
        client = connect()
        client.images.get(WORKER_IMAGE)
    except DemoError as error:
        raise NotMeasurableError(str(error)) from error
    except docker.errors.ImageNotFound as error:
        raise NotMeasurableError(f"no image {WORKER_IMAGE}: `make demo` builds it") from error
    name = f"flagrelease-bench-{secrets.token_hex(4)}"
    container = client.containers.run(
        WORKER_IMAGE, ["sleep", "infinity"], name=name, detach=True, init=True, network_mode="none"
    )
    try:
        yield {"kind": "docker", "container": name, "python": WORKER_PYTHON}
    finally:
        container.remove(force=True)
        client.close()
