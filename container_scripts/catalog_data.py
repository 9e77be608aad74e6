"""The catalog as programs see it in a worker: vendors, their probes, FlagTree wheels, profiles.

Belongs here: reading catalog.json and looking things up in it.
Does not belong here: the data (the host's YAML catalog, from which catalog.json is generated).
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any, Dict, List

from container_scripts.vendor_detection import Probe

CATALOG_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "catalog.json")

Record = Dict[str, Any]


@lru_cache(maxsize=None)
def catalog() -> Record:
    """Return the whole exported catalog, read once."""
    with open(CATALOG_FILE, encoding="utf-8") as handle:
        content: Record = json.load(handle)
    return content


def vendor_names() -> Dict[str, str]:
    """Return every vendor name and alias with the canonical name it stands for."""
    names = {}
    for vendor in catalog()["vendors"]:
        for name in [vendor["name"], *vendor["aliases"]]:
            names[name] = vendor["name"]
    return names


def resolve_vendor(name: str) -> str:
    """Return the canonical name of a vendor name or alias, whatever its case.

    Raises ValueError, which lists the vendors.
    """
    canonical = vendor_names().get(name.strip().lower())
    if canonical is None:
        known = ", ".join(vendor["name"] for vendor in catalog()["vendors"])
        raise ValueError(f"unknown vendor {name!r}. Vendors: {known}")
    return canonical


def vendor_record(name: str) -> Record:
    """Return the record of the vendor with that name or alias; raises ValueError if there is none."""
    canonical = resolve_vendor(name)
    return next(vendor for vendor in catalog()["vendors"] if vendor["name"] == canonical)


def vendor_probes() -> Dict[str, List[Probe]]:
    """Return each vendor's device probes, in the order in which they are tried."""
    return {
        vendor["name"]: [
            Probe(tuple(probe["argv"]), probe["parser"], probe["label"], probe["timeout_s"])
            for probe in vendor["detect"]
        ]
        for vendor in catalog()["vendors"]
    }


def memory_probes(vendor: str) -> List[Probe]:
    """Return the commands that tell how much memory of a vendor's devices is in use; none if unknown."""
    return [
        Probe(tuple(probe["argv"]), probe["parser"], probe["label"], probe["timeout_s"])
        for probe in vendor_record(vendor)["memory"]
    ]


def flagtree_tables() -> Dict[str, Record]:
    """Return the FlagTree wheel tables by id."""
    return {table["id"]: table for table in catalog()["flagtree_wheels"]}


def default_flagtree_table() -> str:
    """Return the id of the table that is used when none is named."""
    return str(catalog()["default_flagtree_table"])


def benchmark_profiles() -> List[Record]:
    """Return the benchmark profiles at their full size."""
    return list(catalog()["benchmark_profiles"])
