"""A copy of the shipped catalog that a test may spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flagrelease_assets.catalog.loader import DATA_FOLDER

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def catalog_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    shutil.copytree(DATA_FOLDER, folder)
    return folder


@pytest.fixture
def spoil(catalog_folder: Path) -> Callable[[str, Change], Path]:
    """Change one file of the copy through its parsed content."""

    def _spoil(file: str, change: Change) -> Path:
        path = catalog_folder / file
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return catalog_folder

    return _spoil
