"""Which vendor a worker is: all tools are asked, and evidence decides between several answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_scripts.catalog_data import vendor_probes
from container_scripts.device_probes import PARSERS, PRESENCE
from container_scripts.vendor_detection import Probe, choose_vendor, find_devices, run_probes


def make_tool(folder: Path, name: str, output: str, code: int = 0) -> Path:
    tool = folder / name
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    tool.chmod(0o755)
    return tool


def test_every_catalog_probe_has_a_parser() -> None:
    parsers = {probe.parser for probes in vendor_probes().values() for probe in probes}
    assert parsers
    assert parsers <= {*PARSERS, PRESENCE}


def test_a_tool_below_a_versioned_folder_is_found_by_glob(tmp_path: Path) -> None:
    make_tool(tmp_path, "dtk-25.04/bin/rocm-smi", "HCU[0] : Card Series: BW200")
    found = run_probes([Probe((f"{tmp_path}/dtk-*/bin/rocm-smi",), "rocm_smi_product", "HCU")])
    assert found is not None
    assert [device.name for device in found.devices] == ["BW200"]


def test_a_tool_that_fails_proves_no_device(tmp_path: Path) -> None:
    tool = make_tool(tmp_path, "smi", "GPU 0: Leftover (UUID: 1)", code=9)
    assert run_probes([Probe((str(tool),), "smi_list", "GPU"), Probe((str(tool),), PRESENCE)]) is None


def test_all_vendors_are_asked_and_those_without_devices_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tool(tmp_path, "nvidia-smi", "No devices were found")
    make_tool(tmp_path, "npu-smi", "NPU ID : 0\nProduct Name : 910B\nChip Count : 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert list(find_devices(vendor_probes())) == ["ascend"]


@pytest.mark.parametrize(
    ("given", "candidates", "torch_vendor", "expected"),
    [
        ("mthreads", ["nvidia"], None, ("mthreads", "given")),
        (None, ["ascend"], None, ("ascend", "probed")),
        (None, ["ascend", "nvidia"], "ascend", ("ascend", "probed")),
        (None, ["ascend", "nvidia"], None, ("unknown", "probed")),
        (None, ["ascend", "nvidia"], "amd", ("unknown", "probed")),
        (None, [], "nvidia", ("unknown", "probed")),
    ],
)
def test_a_display_card_or_an_imitated_tool_does_not_decide_the_vendor(
    given: str | None, candidates: list[str], torch_vendor: str | None, expected: tuple[str, str]
) -> None:
    assert choose_vendor(given, candidates, torch_vendor) == expected
