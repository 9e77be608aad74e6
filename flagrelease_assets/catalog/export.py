"""Writes the part of the catalog that programs need inside a worker as JSON beside them.

Belongs here: the choice of that part, and writing it. Does not belong here: reading it back
(container_scripts.catalog_data).

Run after any change of the YAML: ``python -m flagrelease_assets.catalog.export``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import container_scripts
from flagrelease_assets.catalog.loader import load_catalog
from flagrelease_assets.catalog.models import Catalog

EXPORT_FILE = Path(container_scripts.__file__).parent / "catalog.json"

VENDOR_FIELDS = {
    "name",
    "display_name",
    "aliases",
    "detect",
    "memory",
    "markers",
    "torch_backend",
    "visible_devices_variable",
    "flagtree_row",
    "flagtree_reason",
}


def exported(catalog: Catalog) -> dict[str, Any]:
    """Return what programs need: vendors and their probes, FlagTree tables, benchmark profiles."""
    return {
        "generated_by": "python -m flagrelease_assets.catalog.export",
        "vendors": [
            vendor.model_dump(mode="json", include=VENDOR_FIELDS) for vendor in catalog.vendors.values()
        ],
        "default_flagtree_table": catalog.default_flagtree_table,
        "flagtree_wheels": [table.model_dump(mode="json") for table in catalog.flagtree_wheels.values()],
        "benchmark_profiles": [
            profile.model_dump(mode="json", exclude_none=True) for profile in catalog.profiles
        ],
    }


def write_export(file: Path = EXPORT_FILE) -> None:
    """Write the exported part of the shipped catalog to ``file``."""
    text = json.dumps(exported(load_catalog()), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_export()
