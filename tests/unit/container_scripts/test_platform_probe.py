"""A stack whose log is silent is asked for; one that speaks is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container_scripts import stack_evidence
from container_scripts.platform_probe import probe_platform

SILENT = "INFO: Application startup complete.\n"


@pytest.fixture
def vllm_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of child interpreters in which tests put what stands for vLLM."""
    (tmp_path / "vllm").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "vllm"


def write_platforms(folder: Path, source: str) -> None:
    (folder / "__init__.py").write_text("")
    (folder / "platforms.py").write_text(source)


ACTIVE = """
import logging
logging.getLogger("vllm.plugins").info("Loading plugin fl")
class PlatformFL: pass
PlatformFL.__module__ = "vllm_fl.platform"
current_platform = PlatformFL()
"""
FAILING = """
import logging
logging.getLogger("vllm.plugins").error("Failed to load plugin fl")
class CpuPlatform: pass
current_platform = CpuPlatform()
"""


def observe(log: str) -> dict[str, object]:
    return stack_evidence.observe_stack(os.devnull, [os.getpid()], log)


def test_a_silent_log_has_the_environment_asked(vllm_of: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_platforms(vllm_of, ACTIVE)
    monkeypatch.setenv("VLLM_PLUGINS", "fl")
    seen = observe(SILENT)
    assert seen["vllm_platform"] == "vllm_fl.platform.PlatformFL"
    assert (seen["plugins_loaded"], seen["plugins_seen_by"]) == (["fl"], "probe")


def test_a_plugin_that_fails_in_the_probe_is_not_loaded(
    vllm_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_platforms(vllm_of, FAILING)
    monkeypatch.setenv("VLLM_PLUGINS", "fl")
    seen = observe(SILENT)
    assert (seen["plugins_loaded"], seen["plugins_failed"]) == ([], ["fl"])


@pytest.mark.parametrize("log", ["Loading plugin fl\n", "Failed to load plugin fl\n"])
def test_an_engine_that_speaks_of_its_plugins_is_believed(
    vllm_of: Path, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    write_platforms(vllm_of, "raise SystemExit('asked in vain')")
    monkeypatch.setenv("VLLM_PLUGINS", "fl")
    assert observe(log)["plugins_seen_by"] == "engine"


def test_a_base_run_is_never_asked(vllm_of: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_platforms(vllm_of, ACTIVE)
    monkeypatch.setenv("VLLM_PLUGINS", "")
    assert observe(SILENT)["plugins_loaded"] == []


def test_a_vllm_that_cannot_be_imported_is_no_evidence(vllm_of: Path) -> None:
    write_platforms(vllm_of, "raise ImportError('broken')")
    probe = probe_platform()
    assert (probe.platform, probe.plugins_loaded) == (None, [])
