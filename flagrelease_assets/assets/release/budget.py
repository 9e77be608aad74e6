"""How long the jobs of a release may run: the sum of their deadlines, known beforehand.

Waiting for devices and their memory, and for a worker that is out of reach, comes on top.

Belongs here: that arithmetic, step by step. Does not belong here: single limits (`catalog/timeouts.py`),
enforcing any.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from container_scripts.search_operators import LISTING_TIMEOUT_S
from flagrelease_assets.catalog import PACKAGE_ORDER, Timeouts, Vendor
from flagrelease_assets.deployment import DeploymentError, DockerWorkerEntry, LocalWorkerEntry

PROGRAM_OVERHEAD_SECONDS = 60.0
"""What a program may take beside what it waits for: its start, its imports, writing its document."""

MOST_ARMS = 3
"""Runs that take the full stack apart, at most (`arms.py`)."""

MOST_SEARCHES = 2
"""Searches for guilty operators, one in each phase (`reduction.py`); a run of the reduced stack follows."""

BENCHMARKED_STACKS = 2
"""A recommended full stack is measured beside base."""


def offline_deadline(timeouts: Timeouts) -> float:
    """Return the limit in seconds of an offline phase as a job."""
    return timeouts.offline_total + PROGRAM_OVERHEAD_SECONDS


def serve_deadline(timeouts: Timeouts) -> float:
    """Return the limit in seconds of a serve phase as a job."""
    return timeouts.serve_total + PROGRAM_OVERHEAD_SECONDS


def benchmark_deadline(timeouts: Timeouts, profiles: int, repeats: int) -> float:
    """Return the limit in seconds of benchmarking one stack as a job."""
    return timeouts.benchmark_total(profiles, repeats) + PROGRAM_OVERHEAD_SECONDS


def search_deadline(timeouts: Timeouts, total_s: float) -> float:
    """Return the limit in seconds of a search for operators as a job, their listing included."""
    return total_s + LISTING_TIMEOUT_S + serve_deadline(timeouts)


@dataclass(frozen=True)
class Budget:
    """The longest that the jobs of each step of a release may run, in seconds."""

    steps: dict[str, float]
    attempts: int

    @property
    def total_s(self) -> float:
        """The longest that the jobs of a whole release may run, in seconds."""
        return sum(self.steps.values())

    def __str__(self) -> str:
        attempts = f", every job tried {self.attempts} times" if self.attempts > 1 else ""
        return (
            f"at most {in_words(self.total_s)} of jobs (the sum of their deadlines{attempts}); "
            "waiting for devices or for the worker itself comes on top"
        )


def release_budget(
    timeouts: Timeouts,
    *,
    base_variants: int,
    profiles: int,
    repeats: int,
    probes_s: list[float],
    retries: int,
    search_s: float,
) -> Budget:
    """Return the budget of one release.

    Args:
        timeouts: the limits that hold for the worker.
        base_variants: ways to have a base that the smoke test may have to try.
        profiles: benchmark profiles.
        repeats: measurements of each profile.
        probes_s: limits in seconds of the vendors' tools that detection asks.
        retries: further attempts at a job that the harness failed.
        search_s: limit in seconds of one search for guilty operators; 0 if there is none.
    """
    offline, serve = offline_deadline(timeouts), serve_deadline(timeouts)
    one_search = search_deadline(timeouts, search_s) + max(offline, serve) if search_s else 0.0
    once = {
        "install_status": timeouts.collect_environment(probes_s)
        + timeouts.probe_network
        + len(PACKAGE_ORDER) * timeouts.install_total
        + timeouts.validate_packages,
        "env_verification": timeouts.model_total + base_variants * (offline + serve),
        "model_snapshot": timeouts.model_total,
        "run_a_result": offline + serve,
        "run_b_result": offline + serve,
        "diff_analysis": offline + MOST_ARMS * max(offline, serve) + MOST_SEARCHES * one_search,
        "benchmark_metrics": BENCHMARKED_STACKS * benchmark_deadline(timeouts, profiles, repeats),
    }
    attempts = 1 + retries
    return Budget({step: attempts * limit for step, limit in once.items()}, attempts)


def budget_of(
    vendor: Vendor, entry: DockerWorkerEntry | LocalWorkerEntry, *, profiles: int, probes_s: list[float]
) -> Budget:
    """Return the budget of a release on a worker of the deployment; raises DeploymentError."""
    return release_budget(
        timeouts_of(vendor, entry),
        base_variants=len(vendor.base_variants),
        profiles=profiles,
        repeats=entry.benchmark_repeats,
        probes_s=probes_s,
        retries=entry.retries,
        search_s=entry.operator_search.total if entry.operator_search.enabled else 0.0,
    )


def timeouts_of(vendor: Vendor, entry: DockerWorkerEntry | LocalWorkerEntry) -> Timeouts:
    """Return the limits of a worker: its vendor's, with the deployment's laid over them.

    Raises DeploymentError for a name or value that is none.
    """
    try:
        return Timeouts.model_validate({**vendor.timeouts.model_dump(), **entry.deadlines})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DeploymentError(f"workers.{vendor.name}.deadlines.{key}: {first['msg']}") from error


def in_words(seconds: float) -> str:
    """Return a long time as people say it: days, hours, minutes."""
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "less than 1 min"
