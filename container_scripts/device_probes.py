"""Read the text of vendor management tools as per-device records.

Belongs here: pure parsers from a tool's output to devices and their memory, their registry by name.
Does not belong here: running the tools, or deciding which vendor a machine is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Sequence

PRESENCE = "presence"
MAX_CHIPS_PER_CARD = 64
MAX_DIGITS = 15

_BUS_ID = r"(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]"
_CSV_MEMORY = re.compile(r"^(?:(\d{1,9})(?:\.\d+)?\s*(?:MiB|MB)?|\[?(?:N/A|Not Supported)\]?)$", re.ASCII)
_PROPERTY = re.compile(r"^\s*([A-Za-z]+)\[(\d{1,4})\]\s*:\s*([^:]+?)\s*:\s*(.*?)\s*$", re.ASCII)
_LISTED = re.compile(r"^\s*([A-Za-z]+)\s?#?\s*(\d{1,4})\s*(?::|\s)\s*([^\s:].*)$", re.ASCII)
_KEY_VALUE = re.compile(r"^\s*([A-Za-z][^:]*?)\s*:\s*(.*?)\s*$")
_TRAILING_BUS_OR_UUID = re.compile(rf"\s*(?:\(UUID.*|{_BUS_ID}.*)$")
_COMPLAINT = re.compile(r"\b(?:error|failed|fail|unable|lost|not found|no devices?)\b", re.IGNORECASE)
_FOREIGN_TO_AMD = re.compile(r"hygon", re.IGNORECASE)


@dataclass(frozen=True)
class Device:
    """One device as the runtime would count it: a chip, not a card or a line of text."""

    index: int
    name: str
    memory_total_mb: Optional[int] = None


def _numbered(devices: Sequence[Device]) -> List[Device]:
    return [replace(device, index=index) for index, device in enumerate(devices)]


def _number(text: str) -> Optional[int]:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def parse_name_memory_csv(text: str, label: Optional[str] = None) -> List[Device]:
    """Read ``--query-gpu=[index,]name,memory.total --format=csv,noheader[,nounits]`` (MiB).

    Only rows that end in a memory column count, so that "No devices were found" is no device.
    """
    devices = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        memory = _CSV_MEMORY.match(fields[-1]) if len(fields) > 1 else None
        if len(fields) > 2 and fields[0].isdigit():
            fields = fields[1:]
        name = ", ".join(fields[:-1])
        if memory and name and not _COMPLAINT.search(name):
            devices.append(Device(0, name, int(memory.group(1)) if memory.group(1) else None))
    return _numbered(devices)


def parse_smi_list(text: str, label: Optional[str] = None) -> List[Device]:
    """Read ``-L`` listings: ``LABEL 0: NAME (UUID: …)`` or ``LABEL#0  NAME  BUS-ID (UUID: …)``."""
    found: Dict[int, Device] = {}
    for line in text.splitlines():
        match = _LISTED.match(line)
        if not match or match.group(1) != label:
            continue
        name = _TRAILING_BUS_OR_UUID.sub("", match.group(3)).strip()
        if name and not _COMPLAINT.search(name):
            found.setdefault(int(match.group(2)), Device(0, name))
    return _numbered([found[index] for index in sorted(found)])


def parse_rocm_smi_product(text: str, label: Optional[str] = None) -> List[Device]:
    """Read ``--showproductname [--showmeminfo vram]``: all ``LABEL[n]`` properties are one device.

    AMD's label is ``GPU``, Hygon's ``HCU`` (``DCU`` in older releases); a ``GPU`` that names Hygon is
    not AMD's, although the tool is the same program.
    """
    cards: Dict[int, Dict[str, str]] = {}
    for line in text.splitlines():
        match = _PROPERTY.match(line)
        if match and match.group(1) == label:
            cards.setdefault(int(match.group(2)), {})[match.group(3).lower()] = match.group(4)
    devices = []
    for index in sorted(cards):
        properties = cards[index]
        name = properties.get("card series") or properties.get("card model")
        if not name or (label == "GPU" and _FOREIGN_TO_AMD.search(" ".join(properties.values()))):
            continue
        total_bytes = _number(properties.get("vram total memory (b)", ""))
        devices.append(Device(0, name, total_bytes // 2**20 if total_bytes else None))
    return _numbered(devices)


def parse_used_memory_csv(text: str, label: Optional[str] = None) -> Dict[int, int]:
    """Read ``--query-gpu=index,memory.used --format=csv,noheader[,nounits]``: index to MiB in use."""
    used = {}
    for line in text.splitlines():
        index, _, memory = (part.strip() for part in line.partition(","))
        number = _CSV_MEMORY.match(memory)
        if index.isascii() and index.isdigit() and number and number.group(1):
            used[int(index)] = int(number.group(1))
    return used


def parse_rocm_smi_memory(text: str, label: Optional[str] = None) -> Dict[int, int]:
    """Read ``--showmeminfo vram``: index to MiB in use."""
    used = {}
    for line in text.splitlines():
        match = _PROPERTY.match(line)
        if match and match.group(1) == label and match.group(3).lower() == "vram total used memory (b)":
            number = _number(match.group(4))
            if number is not None:
                used[int(match.group(2))] = number // 2**20
    return used


def parse_npu_smi_list(text: str, label: Optional[str] = None) -> List[Device]:
    """Read ``npu-smi info -l``: each NPU counts as many devices as it has chips."""
    cards: List[Dict[str, str]] = []
    for line in text.splitlines():
        match = _KEY_VALUE.match(line)
        if not match:
            continue
        key, value = match.group(1).lower(), match.group(2)
        if key == "npu id":
            cards.append({})
        if cards:
            cards[-1][key] = value
    devices = []
    for card in cards:
        chips = _number(card.get("chip count", "1")) or 0
        if chips <= MAX_CHIPS_PER_CARD:
            devices += [Device(0, card.get("product name") or "Ascend NPU")] * chips
    return _numbered(devices)


PARSERS: Dict[str, Callable[[str, Optional[str]], List[Device]]] = {
    "name_memory_csv": parse_name_memory_csv,
    "rocm_smi_product": parse_rocm_smi_product,
    "npu_smi_list": parse_npu_smi_list,
    "smi_list": parse_smi_list,
}

MEMORY_PARSERS: Dict[str, Callable[[str, Optional[str]], Dict[int, int]]] = {
    "used_memory_csv": parse_used_memory_csv,
    "rocm_smi_memory": parse_rocm_smi_memory,
}
