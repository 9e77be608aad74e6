"""Vendor tools' text becomes per-device records, whatever else the text holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.device_probes import MEMORY_PARSERS, PARSERS

ROCM_PROPERTIES = (
    "Card Series: \t\tAMD Instinct MI300X",
    "Card Model: \t\t0x74a1",
    "Card Vendor: \t\tAdvanced Micro Devices, Inc. [AMD/ATI]",
    "Card SKU: \t\tM3000100",
    "Subsystem ID: \t0x74a1",
    "GUID: \t\t28851",
)
ROCM_TWO_GPUS = "\n".join(
    ["======= ROCm System Management Interface ======="]
    + [f"GPU[{index}]\t\t: {line}" for index in (0, 1) for line in ROCM_PROPERTIES]
)
NPU_TWO_CARDS_OF_TWO_CHIPS = """\
	Total Count                    : 2

	NPU ID                         : 0
	Product Name                   : Atlas A3
	Chip Count                     : 2

	NPU ID                         : 1
	Product Name                   : Atlas A3
	Chip Count                     : 2
"""
MX_SMI = """\
mx-smi  version: 2.1.6

=================== MetaX System Management Interface Log ===================
Attached GPUs    : 2
GPU#0   MXC500   0000:08:00.0 (UUID: GPU-4a)
GPU#1   MXC500   0000:09:00.0 (UUID: GPU-4b)
BIOS Version     : 1.13
"""
IXSMI = "GPU 0: Iluvatar BI-V150 (UUID: GPU-aa)\nGPU 1: Iluvatar BI-V150 (UUID: GPU-bb)\n"


def names(parser: str, text: str, label: str | None = None) -> list[str]:
    return [device.name for device in PARSERS[parser](text, label)]


def test_six_property_lines_are_one_amd_gpu() -> None:
    assert names("rocm_smi_product", ROCM_TWO_GPUS, "GPU") == ["AMD Instinct MI300X"] * 2


def test_hygon_lines_are_hygon_devices_and_never_amd_ones() -> None:
    text = "HCU[0]\t\t: Card Series: \t\tBW200\nHCU[0]\t\t: Card Vendor: \t\tHygon"
    assert names("rocm_smi_product", text, "HCU") == ["BW200"]
    assert names("rocm_smi_product", text, "GPU") == []
    assert names("rocm_smi_product", text.replace("HCU", "GPU"), "GPU") == []


def test_each_chip_of_an_ascend_card_is_a_device() -> None:
    devices = PARSERS["npu_smi_list"](NPU_TWO_CARDS_OF_TWO_CHIPS, None)
    assert [device.index for device in devices] == [0, 1, 2, 3]
    assert {device.name for device in devices} == {"Atlas A3"}


@pytest.mark.parametrize(
    "complaint",
    [
        "No devices were found",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error",
        "",
    ],
)
def test_a_complaint_of_nvidia_smi_is_no_device(complaint: str) -> None:
    assert names("name_memory_csv", complaint) == []


def test_nvidia_rows_carry_memory_and_one_without_is_still_a_device() -> None:
    devices = PARSERS["name_memory_csv"]("NVIDIA H200, 143771\nNVIDIA GB10, [N/A]\n", None)
    assert [(device.name, device.memory_total_mb) for device in devices] == [
        ("NVIDIA H200", 143771),
        ("NVIDIA GB10", None),
    ]


@pytest.mark.parametrize(("text", "expected"), [(MX_SMI, ["MXC500"] * 2), (IXSMI, ["Iluvatar BI-V150"] * 2)])
def test_listings_count_devices_not_headers_or_bios_lines(text: str, expected: list[str]) -> None:
    assert names("smi_list", text, "GPU") == expected


FRAGMENTS = st.sampled_from(
    ["GPU[0]", "GPU 1: x", "NPU ID : 0", "Chip Count : 9999999999", " : ", "a, 1", "²"]
)


@given(
    parser=st.sampled_from(sorted(PARSERS)),
    label=st.sampled_from([None, "GPU", "HCU"]),
    text=st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=8))).map("\n".join)),
)
def test_any_text_is_survived_and_devices_are_numbered_and_named(
    parser: str, label: str | None, text: str
) -> None:
    devices = PARSERS[parser](text, label)
    assert [device.index for device in devices] == list(range(len(devices)))
    assert all(device.name for device in devices)


ROCM_MEMORY = """
======================== ROCm System Management Interface ========================
GPU[0]		: VRAM Total Memory (B): 206141652992
GPU[0]		: VRAM Total Used Memory (B): 1073741824
HCU[1]		: VRAM Total Used Memory (B): 2147483648
GPU[2]		: VRAM Total Used Memory (B): N/A
"""


@pytest.mark.parametrize(
    ("parser", "text", "label", "used"),
    [
        ("used_memory_csv", "0, 4\n1, 70123\n", None, {0: 4, 1: 70123}),
        ("used_memory_csv", "0, 4 MiB\n1, [N/A]\n", None, {0: 4}),
        ("used_memory_csv", "Unable to determine the device handle for GPU0: GPU is lost\n", None, {}),
        ("rocm_smi_memory", ROCM_MEMORY, "GPU", {0: 1024}),
        ("rocm_smi_memory", ROCM_MEMORY, "HCU", {1: 2048}),
    ],
)
def test_used_memory_is_read_per_device_and_a_complaint_is_no_level(
    parser: str, text: str, label: str | None, used: dict[int, int]
) -> None:
    assert MEMORY_PARSERS[parser](text, label) == used


@given(st.sampled_from(sorted(MEMORY_PARSERS)), st.text(), st.sampled_from([None, "GPU"]))
def test_no_text_breaks_a_memory_parser(parser: str, text: str, label: str | None) -> None:
    levels = MEMORY_PARSERS[parser](text, label)
    assert all(index >= 0 and used >= 0 for index, used in levels.items())
