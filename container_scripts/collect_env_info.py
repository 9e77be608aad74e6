"""Collect the facts of this worker: interpreter, C library, accelerators, disks, memory, pip, torch.

Belongs here: reading facts. Does not belong here: judging whether they suffice.
"""

from __future__ import annotations

import argparse
import glob
import os
import platform
import shutil
import sys
from typing import Optional, Tuple

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.catalog_data import resolve_vendor, vendor_probes
from container_scripts.disk_space import disk_facts
from container_scripts.distributions import installed_version
from container_scripts.document import Document, run_program
from container_scripts.package_probe import probe_import
from container_scripts.pip_settings import read_pip_settings
from container_scripts.vendor_detection import CPU, UNKNOWN, choose_vendor, find_devices, vendor_of_torch

TORCH_TIMEOUT_S = 120.0
SHARED_MEMORY = "/dev/shm"
DRIVER_MODULES = ("nvidia", "amdgpu", "hydcu", "drv_davinci", "metax", "iluvatar", "mtgpu", "cambricon-drv")
MEMORY_LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vendor", help="known vendor (authoritative; its tool only confirms)")
    parser.add_argument(
        "--path", action="append", default=[], help="also measure free space here (repeatable)"
    )
    return parser


def libc_facts() -> Tuple[str, Optional[str]]:
    """Return the C library (``glibc``, ``musl`` or ``unknown``) and, for glibc, its version."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name, version = "", ""
    if name == "glibc" and version:
        return "glibc", version
    return ("musl", None) if glob.glob("/lib/ld-musl-*") else ("unknown", None)


def memory_total_mb() -> int:
    """Return the memory (MiB) that this worker may use: the machine's, or its container's limit if less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in MEMORY_LIMIT_FILES:
        text = _first_line(path) or ""
        if text.isdigit():
            sizes.append(int(text))
    return min(sizes) // 2**20


def driver_version() -> Optional[str]:
    """Return ``module version`` of the first accelerator driver that the kernel has loaded, or None."""
    for module in DRIVER_MODULES:
        version = _first_line(f"/sys/module/{module}/version")
        if version:
            return f"{module} {version}"
    return None


def _first_line(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.readline().strip()
    except OSError:
        return None


def torch_facts() -> Optional[Document]:
    """Return what torch says when imported in a process of its own; None if it is not installed."""
    version = installed_version("torch")
    if version is None:
        return None
    outcome = probe_import("torch", TORCH_TIMEOUT_S)
    return outcome.torch or {"version": version, "error": outcome.error}


def device_facts(given: Optional[str], torch: Optional[Document]) -> Document:
    """Return vendor and devices; every vendor's tool is asked, a given vendor decides.

    Where the vendor's tool lists no devices, those that ``torch`` sees count.

    Raises ValueError if the given vendor is not in the catalog.
    """
    name = resolve_vendor(given) if given else None
    found = find_devices(vendor_probes())
    vendor, source = choose_vendor(name, sorted(found), vendor_of_torch())
    listed = [vars(device) for device in found[vendor].devices] if vendor in found else []
    seen = (torch or {}).get("device_names") or []
    by_torch = [
        {"index": index, "name": seen_name, "memory_total_mb": None} for index, seen_name in enumerate(seen)
    ]
    sources = ((listed, found[vendor].source if vendor in found else ""), (by_torch, "torch"))
    devices, source_of_devices = next(
        (entry for entry in sources if entry[0] and vendor not in (CPU, UNKNOWN)), ([], "none")
    )
    return {
        "vendor": vendor,
        "vendor_source": source,
        "vendor_candidates": sorted(found),
        "devices": devices,
        "device_source": source_of_devices,
    }


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body."""
    libc, glibc_version = libc_facts()
    disks = disk_facts(["/", *arguments.path])
    torch = torch_facts()
    shm = shutil.disk_usage(SHARED_MEMORY).total // 2**20 if os.path.isdir(SHARED_MEMORY) else None
    return {
        "status": "PASS",
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
        "python_executable": sys.executable,
        "libc": libc,
        "glibc_version": glibc_version,
        "arch": platform.machine(),
        **device_facts(arguments.vendor, torch),
        "disk_free_gb": disks[0]["free_gb"],
        "disks": disks,
        "pip": read_pip_settings().to_document(),
        "cpu_count": len(os.sched_getaffinity(0)),
        "memory_total_mb": memory_total_mb(),
        "shm_total_mb": shm,
        "torch": torch,
        "kernel": platform.release(),
        "driver": driver_version(),
    }


if __name__ == "__main__":
    sys.exit(run_program("collect_env_info", build_parser(), observe))
