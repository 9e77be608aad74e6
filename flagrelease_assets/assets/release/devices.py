"""The devices of one release: which they are, who wants them, how much of their memory is in use.

Belongs here: from vendor and worker entry to a contender and to levels of memory.
Does not belong here: waiting for devices (`workers/device_lock.py`), judging levels (`clean_hands.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from container_scripts.device_lock import ALL_DEVICES
from flagrelease_assets.assets.release.clean_hands import DeviceMemory, Levels
from flagrelease_assets.catalog import Vendor
from flagrelease_assets.deployment import DockerWorkerEntry, LocalWorkerEntry
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.device_lock import Contender

Entry = DockerWorkerEntry | LocalWorkerEntry


@dataclass(frozen=True)
class Hold:
    """A run's hold on its devices: the record that polls renew, and what is known of their memory."""

    record: str | None = None
    memory: DeviceMemory = field(default_factory=DeviceMemory)


HoldDevices = Callable[[Worker, Contender, Callable[[str], None]], Hold]
"""Holds a worker's devices for a run; the last argument gets a line when there is something to wait for."""


def worker_environment(vendor: Vendor, entry: Entry) -> dict[str, str]:
    """Return the variables of model runs and of the vendor's tools; the worker's win over the vendor's."""
    return {**vendor.environment, **entry.environment}


def visible_devices(vendor: Vendor, entry: Entry) -> tuple[str, ...]:
    """Return the indices of the devices that vendor and worker leave visible, or `all`."""
    variable = vendor.visible_devices_variable
    named = worker_environment(vendor, entry).get(variable, "") if variable else ""
    devices = tuple(part.strip() for part in named.split(",") if part.strip())
    return devices if devices and all(part.isdecimal() for part in devices) else (ALL_DEVICES,)


def contender_of(run_id: str, root_run_id: str | None, vendor: Vendor, entry: Entry) -> Contender:
    """Return the run as one that wants its worker's devices; ``root_run_id`` is that of its first attempt."""
    return Contender(
        run_id=run_id,
        root_run_id=root_run_id or run_id,
        vendor=vendor.name,
        devices=visible_devices(vendor, entry),
        lock_root=entry.lock_root,
    )


def used_memory(
    observe: Callable[[str, list[str]], dict[str, Any]], vendor: Vendor, entry: Entry
) -> Levels | str:
    """Return the MiB in use of each visible device, or why that is not known; raises WorkerError."""
    if not vendor.memory:
        return f"not applicable: no tool of {vendor.name} is known that tells the used memory"
    chosen = [f"--device={index}" for index in visible_devices(vendor, entry) if index != ALL_DEVICES]
    facts = observe("device_memory", ["--vendor", vendor.name, *chosen])
    return facts["used_mb"] or str(facts.get("reason") or "the tool lists no device")
