from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.rig import Rig
from tests.integration.services import daemon, environment, webserver, worker_place

__all__ = ["daemon", "environment", "webserver", "worker_place"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def rig(tmp_path: Path, instance: dg.DagsterInstance) -> Rig:
    return Rig(tmp_path, instance)
