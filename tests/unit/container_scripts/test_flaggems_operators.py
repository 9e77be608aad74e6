"""Which operators FlagGems registers and the plugin leaves out, by packages that behave as the real ones.

Belongs here: that listing. Does not belong here: what a search does with it (`test_search_operators.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[3] / "container_scripts" / "flaggems_operators.py"

# vLLM resolves its platform when it is first asked for, by loading the plugin; a plugin that is still being
# imported has no `register` yet, and vLLM goes on with its own platform, which has no vendor name.
VLLM_PLATFORMS = """
class Plain:
    vendor_name = None
def __getattr__(name):
    if name != "current_platform":
        raise AttributeError(name)
    if "found" not in globals():
        globals()["found"] = Plain
        import vllm_fl
        if LOADS and hasattr(vllm_fl, "register"):
            globals()["found"] = vllm_fl.register()
    return globals()["found"]
"""
VLLM_FL = """
from vllm_fl import dispatch
def register():
    class Chip:
        vendor_name = "nvidia"
    return Chip
"""
DISPATCH = "from vllm.platforms import current_platform\n"
CONFIG = """
def get_flagos_blacklist():
    from vllm.platforms import current_platform
    return ["index", "copy_"] if current_platform.vendor_name == "nvidia" else None
"""
FLAG_GEMS = """
def enable(): pass
def all_registered_ops(): return ["mul", "index", "copy_", "mul"]
"""


def _packages(folder: Path, *, plugin: bool = True, loads: bool = True) -> Path:
    files = {"flag_gems/__init__.py": FLAG_GEMS, "vllm/__init__.py": ""}
    files["vllm/platforms/__init__.py"] = f"LOADS = {loads}\n" + VLLM_PLATFORMS
    if plugin:
        files |= {"vllm_fl/__init__.py": VLLM_FL, "vllm_fl/dispatch/__init__.py": DISPATCH}
        files |= {"vllm_fl/dispatch/config.py": CONFIG}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _ask(folder: Path) -> dict[str, Any]:
    result = folder / "result.json"
    subprocess.run(
        [sys.executable, PROGRAM, "--output", result],
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
        capture_output=True,
        timeout=60,
    )
    document: dict[str, Any] = json.loads(result.read_text())
    return document


def test_the_plugins_own_list_is_found_although_it_must_be_loaded_by_vllm_to_know_its_chip(
    tmp_path: Path,
) -> None:
    document = _ask(_packages(tmp_path))
    assert document["left_out_by_plugin"] == ["index", "copy_"]
    assert document["registered"] == ["copy_", "index", "mul"]


def test_a_plugin_that_keeps_no_list_leaves_nothing_out(tmp_path: Path) -> None:
    folder = _packages(tmp_path)
    (folder / "vllm_fl/dispatch/config.py").write_text("")
    assert _ask(folder)["left_out_by_plugin"] == []


def test_without_a_plugin_nothing_is_left_out(tmp_path: Path) -> None:
    document = _ask(_packages(tmp_path, plugin=False))
    assert (document["status"], document["left_out_by_plugin"]) == ("PASS", [])


def test_a_list_that_cannot_be_known_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    document = _ask(_packages(tmp_path, loads=False))
    assert document["status"] == "FAIL"
    assert "which operators it leaves out is unknown" in document["error"]


def test_the_doubles_forget_the_chip_when_the_plugin_is_imported_first_as_the_real_ones_do(
    tmp_path: Path,
) -> None:
    ask = "import vllm_fl.dispatch.config as config; print(config.get_flagos_blacklist())"
    told = subprocess.run(
        [sys.executable, "-c", ask],
        env={**os.environ, "PYTHONPATH": str(_packages(tmp_path))},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.strip() == "None"
