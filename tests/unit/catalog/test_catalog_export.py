from __future__ import annotations

import json
from pathlib import Path

from container_scripts import catalog_data
from flagrelease_assets.catalog import load_catalog
from flagrelease_assets.catalog.export import EXPORT_FILE, exported, write_export


def test_the_exported_file_agrees_with_the_yaml() -> None:
    assert json.loads(EXPORT_FILE.read_text(encoding="utf-8")) == exported(load_catalog()), (
        "run: python -m flagrelease_assets.catalog.export"
    )


def test_writing_gives_the_shipped_file(tmp_path: Path) -> None:
    write_export(tmp_path / "catalog.json")
    assert (tmp_path / "catalog.json").read_bytes() == EXPORT_FILE.read_bytes()


def test_programs_resolve_vendors_as_the_host_does() -> None:
    for name, vendor in catalog_data.vendor_names().items():
        assert load_catalog().resolve_vendor(name) == vendor == catalog_data.resolve_vendor(name.upper())
    assert set(catalog_data.vendor_names().values()) == set(load_catalog().vendors)


def test_programs_see_every_probe_of_the_yaml() -> None:
    for name, probes in catalog_data.vendor_probes().items():
        assert [(p.argv, p.parser, p.label) for p in probes] == [
            (p.argv, p.parser, p.label) for p in load_catalog().vendors[name].detect
        ]


def test_programs_see_the_profiles_at_full_size() -> None:
    names = [profile["name"] for profile in catalog_data.benchmark_profiles()]
    assert names == [profile.name for profile in load_catalog().profiles]
    assert all("full_size" not in profile for profile in catalog_data.benchmark_profiles())
