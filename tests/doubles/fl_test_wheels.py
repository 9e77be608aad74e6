"""Builds the two wheels of the test plugin, whose sources are in fl_test_plugin/."""

from __future__ import annotations

from pathlib import Path

from tests.unit.container_scripts.package_making import make_wheel

SOURCES = Path(__file__).parent / "fl_test_plugin"
ENTRY_POINTS = """\
[vllm.platform_plugins]
fl = vllm_fl:register

[vllm.general_plugins]
fl = vllm_fl:register_model
"""


def build_wheels(folder: Path) -> None:
    """Write the wheels of flag-gems-test 5.0.2 and vllm-plugin-fl-test 0.2.0 into ``folder``."""
    make_wheel(folder, "flag-gems-test", "5.0.2", _modules("flag_gems_test"))
    make_wheel(
        folder,
        "vllm-plugin-fl-test",
        "0.2.0",
        _modules("vllm_plugin_fl_test"),
        requires=["flag-gems-test"],
        entry_points=ENTRY_POINTS,
    )


def _modules(distribution: str) -> dict[str, str]:
    root = SOURCES / distribution
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in root.rglob("*.py")}
