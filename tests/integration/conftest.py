from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.rig import Rig
from tests.integration.services import daemon, environment, webserver

__all__ = ["daemon", "environment", "webserver"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def rig(tmp_path: Path, instance: dg.DagsterInstance) -> Rig:
    return Rig(tmp_path, instance)
