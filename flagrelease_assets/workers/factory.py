"""From configuration to worker.

Belongs here: which class serves which kind of configuration.
Does not belong here: the classes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.config import DockerWorkerConfig, LocalWorkerConfig
from flagrelease_assets.workers.local import LocalWorker


def open_worker(config: DockerWorkerConfig | LocalWorkerConfig, *, withheld: Collection[str] = ()) -> Worker:
    """Return the worker that ``config`` describes; it connects when it is first asked for something.

    ``withheld`` names the variables of this host that no program may inherit.
    """
    match config:
        case DockerWorkerConfig():
            from flagrelease_assets.workers.docker import DockerWorker  # its SDK is slow to load

            return DockerWorker(config)
        case LocalWorkerConfig():
            return LocalWorker(config, withheld)
        case _:
            assert_never(config)
