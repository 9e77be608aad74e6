"""Tests of what the deployment file is told of the demonstration's models."""

from __future__ import annotations

from pathlib import Path

import pytest

from flagrelease_assets.demo.models import SMOLLM2, TOY, DemoModel


@pytest.mark.parametrize("model", [SMOLLM2, TOY], ids=lambda model: model.kind)
def test_entry_names_the_folder_that_the_job_fills(model: DemoModel, tmp_path: Path) -> None:
    entry = model.entry(tmp_path)
    assert (entry.source, entry.path) == ("folder", str(model.folder(tmp_path)))
    assert model.folder(tmp_path).parent == tmp_path


def test_only_random_weights_are_excused_from_making_sense(tmp_path: Path) -> None:
    assert SMOLLM2.entry(tmp_path).coherent
    assert not TOY.entry(tmp_path).coherent
