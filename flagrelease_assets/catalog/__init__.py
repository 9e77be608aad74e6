"""Versions, vendors and workloads as data: YAML with source and date, validated when it is loaded.

Belongs here: the data files, their typed models, the loader, and what of it programs need in a worker.
Does not belong here: deployment choices (workers, models, secrets) and anything that installs or runs.
"""

from flagrelease_assets.catalog.base import CatalogError
from flagrelease_assets.catalog.loader import CatalogDataError, load_catalog, vendor_names
from flagrelease_assets.catalog.models import (
    BenchmarkProfile,
    Catalog,
    ProfileScale,
    ProfileSize,
    Timeouts,
    UnknownStackReleaseError,
    UnknownVendorError,
    Vendor,
)
from flagrelease_assets.catalog.plans import PACKAGE_ORDER, InstallPlan, PackageKey, StackRelease

__all__ = [
    "PACKAGE_ORDER",
    "BenchmarkProfile",
    "Catalog",
    "CatalogDataError",
    "CatalogError",
    "InstallPlan",
    "PackageKey",
    "ProfileScale",
    "ProfileSize",
    "StackRelease",
    "Timeouts",
    "UnknownStackReleaseError",
    "UnknownVendorError",
    "Vendor",
    "load_catalog",
    "vendor_names",
]
