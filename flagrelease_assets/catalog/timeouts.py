"""Limits in seconds, and the budgets of whole jobs that follow from them.

Belongs here: the arithmetic by which no outer limit can be shorter than the sum of its inner ones.
Does not belong here: the limits themselves (`timeouts.yaml`, the vendors' files), enforcing any.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import model_validator

from container_scripts import bench_client, collect_env_info, detect_network, install_methods, pip_settings
from container_scripts.commands import ENDING_LIMIT_S
from container_scripts.openai_client import PROBE_TIMEOUT_S
from container_scripts.processes import KILL_LIMIT_S
from container_scripts.prompts import read_prompts
from container_scripts.vllm_server import LAST_BREATH_S, PORT_CLOSING_LIMIT_S
from flagrelease_assets.catalog.base import CatalogModel, Seconds, WrongKeyError

VALIDATED_IMPORTS = 6
"""Imports of a validation, each in its own process: the five packages and torch."""

BENCHMARKED_SERVERS = 2
"""Servers of a benchmark: the first, and one more if that dies."""

LONG_WAITS_OF_A_MEASUREMENT = 3
"""What may take a profile's whole limit in each measurement: endpoint question, warm-up, client."""

SHORT_QUESTIONS_OF_A_MEASUREMENT = 8
"""Questions to the server around one measurement: health before and after, models, counters."""


class Timeouts(CatalogModel):
    """Limits in seconds; outer budgets are derived from inner ones so that none can be too short.

    ``*_idle`` limits count from the last sign of activity; the others are absolute.
    """

    command: Seconds
    install_package: Seconds
    install_idle: Seconds
    validate_package: Seconds
    startup: Seconds
    startup_idle: Seconds
    request: Seconds
    benchmark_profile: Seconds
    model_download: Seconds
    model_download_idle: Seconds
    stop_grace: Seconds

    @model_validator(mode="after")
    def _idle_is_within_absolute(self) -> Timeouts:
        for idle, absolute in (
            ("install_idle", "install_package"),
            ("startup_idle", "startup"),
            ("model_download_idle", "model_download"),
        ):
            if getattr(self, idle) > getattr(self, absolute):
                raise WrongKeyError(idle, f"is longer than {absolute}, so it could never end anything")
        return self

    def collect_environment(self, probe_limits: Iterable[float]) -> float:
        """Return the limit for collecting a worker's facts; ``probe_limits`` are those of vendor tools."""
        return _commands(collect_env_info.TORCH_TIMEOUT_S, *_PIP_QUERIES, *probe_limits) + self.command

    @property
    def probe_network(self) -> float:
        """Return the limit for probing the network: pip's settings, then every address."""
        probing = detect_network.MAX_PROBES * detect_network.probe_limit(detect_network.PROBE_TIMEOUT_S)
        return _commands(*_PIP_QUERIES) + probing + self.command

    @property
    def install_total(self) -> float:
        """Return the limit for installing one package: its commands, and the import that proves it."""
        return _commands(self.install_package, install_methods.IMPORT_TIMEOUT_S) + self.command

    @property
    def validate_packages(self) -> float:
        """Return the limit for validating all five packages, each in its own process."""
        return _commands(*[self.validate_package] * VALIDATED_IMPORTS) + self.command

    @property
    def model_total(self) -> float:
        """Return the limit for preparing a model: its download, and the checks of its files."""
        return _commands(self.model_download) + self.command

    @property
    def server_stop(self) -> float:
        """Return the limit for stopping a server: TERM, grace, KILL, and the port closing."""
        return self.stop_grace + KILL_LIMIT_S + PORT_CLOSING_LIMIT_S

    @property
    def offline_total(self) -> float:
        """Return the limit for an offline run: start-up and one batch of prompts."""
        return self.startup + self.request + self.stop_grace

    @property
    def serve_total(self) -> float:
        """Return the limit for a serve probe: start-up, a request for each prompt, and the stop."""
        return self.startup + len(read_prompts()) * self.request + LAST_BREATH_S + self.server_stop

    @property
    def serve_idle(self) -> float:
        """Return how long a serve probe may be silent: a start-up or one request."""
        return max(self.startup_idle, self.request + ENDING_LIMIT_S)

    def benchmark_total(self, profiles: int, repeats: int) -> float:
        """Return the limit for benchmarking ``profiles``, each measured ``repeats`` times."""
        servers = BENCHMARKED_SERVERS * (self.startup + LAST_BREATH_S + self.server_stop)
        measurement = (
            LONG_WAITS_OF_A_MEASUREMENT * self.benchmark_profile
            + SHORT_QUESTIONS_OF_A_MEASUREMENT * PROBE_TIMEOUT_S
            + bench_client.CLIENT_GRACE_S
            + KILL_LIMIT_S
        )
        return servers + self.benchmark_profile + profiles * repeats * measurement

    @property
    def benchmark_idle(self) -> float:
        """Return how long a benchmark may be silent: a start-up or one profile."""
        return max(self.startup_idle, self.benchmark_profile + ENDING_LIMIT_S)


_PIP_QUERIES = [pip_settings.QUERY_TIMEOUT_S] * pip_settings.QUERIES


def _commands(*limits_s: float) -> float:
    """Return how long commands with these limits may take one after the other, each ended if it must be."""
    return sum(limits_s) + len(limits_s) * ENDING_LIMIT_S
