"""Versions, vendors and workloads as data: YAML with source and date, validated when it is loaded.

Belongs here: the data files, their typed models, the loader, and what of it programs need in a worker.
Does not belong here: deployment choices (workers, models, secrets) and anything that installs or runs.
"""

from flagrelease_assets.catalog.base import CatalogError
from flagrelease_assets.catalog.loader import (
    CatalogDataError,
    load_catalog,
    vendor_names,
    with_stack_releases,
)
from flagrelease_assets.catalog.models import (
    BaseVariant,
    BenchmarkProfile,
    Catalog,
    ProfileScale,
    ProfileSize,
    UnknownStackReleaseError,
    UnknownVendorError,
    Vendor,
)
from flagrelease_assets.catalog.plans import PACKAGE_ORDER, InstallPlan, PackageKey, StackRelease
from flagrelease_assets.catalog.timeouts import Timeouts

__all__ = [
    "PACKAGE_ORDER",
    "BaseVariant",
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
    "with_stack_releases",
]
