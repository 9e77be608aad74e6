"""Tests of the local worker's environment, with real virtual environments."""

from __future__ import annotations

from pathlib import Path

from container_scripts.commands import run_command
from flagrelease_assets.demo.worker_venv import ensure_worker_venv


def test_broken_environment_is_made_anew_and_a_working_one_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "worker venv"
    broken = folder / "bin" / "python3"
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/nowhere/python3")

    python = ensure_worker_venv(folder, print)
    assert run_command([str(python), "-m", "pip", "--version"], timeout_s=60).succeeded

    (folder / "installed").touch()
    assert ensure_worker_venv(folder, print) == python
    assert (folder / "installed").exists()
