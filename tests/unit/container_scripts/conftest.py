"""Environments that tests of this folder may change as they like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.container_scripts.package_making import Environment


@pytest.fixture(scope="session")
def environment_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def environment(tmp_path: Path, environment_template: Path) -> Environment:
    return Environment(tmp_path / "environment", environment_template)
