"""Reads the catalog's YAML files and refuses wrong data, naming file, key and reason.

Belongs here: reading, validation and the checks that need more than one file.
Does not belong here: what a single record must look like (models.py, plans.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from flagrelease_assets.catalog.base import (
    CatalogError,
    CatalogModel,
    Name,
    Sequence,
    Sourced,
    WrongKeyError,
)
from flagrelease_assets.catalog.models import (
    BenchmarkProfile,
    Catalog,
    FlagTreeTable,
    Image,
    Mirrors,
    Vendor,
)
from flagrelease_assets.catalog.plans import StackRelease, WheelTablePlan
from flagrelease_assets.catalog.timeouts import Timeouts
from flagrelease_assets.strict_reading import (
    MAX_CONFIGURATION_BYTES,
    RefusedDocumentError,
    parse_yaml,
    read_ordinary,
)

DATA_FOLDER = Path(__file__).parent / "data"

_Model = TypeVar("_Model", bound=CatalogModel)
_Mapping = dict[str, Any]


class CatalogDataError(CatalogError):
    """Wrong catalog data: ``file``, ``key`` (dotted path, "" if the file cannot be read) and ``reason``."""

    def __init__(self, file: Path, key: str, reason: str) -> None:
        super().__init__(f"{file}: {key or '(whole file)'}: {reason}")
        self.file = file
        self.key = key
        self.reason = reason


class _WheelsFile(CatalogModel):
    default: Name
    tables: Annotated[Sequence[FlagTreeTable], Field(min_length=1)]


class _ProfilesFile(Sourced):
    profiles: Annotated[Sequence[BenchmarkProfile], Field(min_length=1)]


class _ImagesFile(CatalogModel):
    images: Sequence[Image]


class _TimeoutsFile(Sourced):
    seconds: Timeouts


def load_catalog(folder: Path | None = None) -> Catalog:
    """Return the validated catalog of ``folder`` (by default the one that ships), read once per process.

    Raises CatalogDataError for the first wrong record.
    """
    return _load(DATA_FOLDER if folder is None else folder.resolve())


def vendor_names() -> list[str]:
    """Return the canonical names of the vendors, sorted, without reading their records.

    A vendor's file is named after it, which `load_catalog` enforces.
    """
    return sorted(file.stem for file in (DATA_FOLDER / "vendors").glob("*.yaml"))


def with_stack_releases(catalog: Catalog, files: Iterable[Path]) -> Catalog:
    """Return ``catalog`` with the stack releases of ``files``, checked like those that ship.

    Raises CatalogDataError for the first wrong one, or one whose id is taken.
    """
    releases = dict(catalog.stack_releases)
    for file in files:
        release = _read_stack_release(file)
        if release.id in releases:
            raise CatalogDataError(file, "id", f"{release.id!r} is the id of another stack release")
        _check_stack_release(release, file, catalog)
        releases[release.id] = release
    return catalog.model_copy(update={"stack_releases": releases})


@cache
def _load(folder: Path) -> Catalog:
    wheels = _read_file(_WheelsFile, folder / "flagtree_wheels.yaml")
    profiles = _read_file(_ProfilesFile, folder / "benchmark_profiles.yaml")
    _refuse_repeated([table.id for table in wheels.tables], folder / "flagtree_wheels.yaml", "tables")
    _refuse_repeated(
        [profile.name for profile in profiles.profiles], folder / "benchmark_profiles.yaml", "profiles"
    )
    catalog = Catalog(
        vendors=_read_vendors(folder),
        stack_releases=_read_stack_releases(folder),
        flagtree_wheels={table.id: table for table in wheels.tables},
        default_flagtree_table=wheels.default,
        profiles=profiles.profiles,
        images=_read_file(_ImagesFile, folder / "images.yaml").images,
        mirrors=_read_file(Mirrors, folder / "mirrors.yaml"),
    )
    _check_vendors(catalog, folder)
    for release in catalog.stack_releases.values():
        _check_stack_release(release, folder / "stack_releases" / f"{release.id}.yaml", catalog)
    _check_wheels(catalog, folder / "flagtree_wheels.yaml")
    return catalog


def _read_mapping(file: Path) -> _Mapping:
    try:
        data = parse_yaml(read_ordinary(file, MAX_CONFIGURATION_BYTES))
    except OSError as error:
        raise CatalogDataError(file, "", f"cannot be read: {error.strerror}") from error
    except RefusedDocumentError as error:
        raise CatalogDataError(file, "", f"is not YAML as used here: {error}") from error
    if not isinstance(data, dict):
        raise CatalogDataError(file, "", f"must be a mapping, is {type(data).__name__}")
    return data


def _validate(model: type[_Model], data: _Mapping, file: Path) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path, reason = [str(part) for part in first["loc"]], first["msg"]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, WrongKeyError):
            path, reason = [*path, cause.key], cause.reason
        raise CatalogDataError(file, ".".join(path), reason) from error


def _read_file(model: type[_Model], file: Path) -> _Model:
    return _validate(model, _read_mapping(file), file)


def _check_stem(name: str, file: Path, key: str) -> None:
    if name != file.stem:
        raise CatalogDataError(file, key, f"is {name!r}, but the file is named {file.stem!r}")


def _read_vendors(folder: Path) -> dict[str, Vendor]:
    """Return the vendors by name; each one's timeouts are the common ones with its own on top."""
    common = _read_file(_TimeoutsFile, folder / "timeouts.yaml").seconds.model_dump()
    vendors = {}
    for file in sorted((folder / "vendors").glob("*.yaml")):
        data = _read_mapping(file)
        own = data.get("timeouts", {})
        if not isinstance(own, dict):
            raise CatalogDataError(file, "timeouts", "must be a mapping of limits in seconds")
        vendor = _validate(Vendor, {**data, "timeouts": {**common, **own}}, file)
        _check_stem(vendor.name, file, "name")
        vendors[vendor.name] = vendor
    if not vendors:
        raise CatalogDataError(folder / "vendors", "", "holds no vendor")
    return vendors


def _read_stack_releases(folder: Path) -> dict[str, StackRelease]:
    files = sorted((folder / "stack_releases").glob("*.yaml"))
    return {release.id: release for release in map(_read_stack_release, files)}


def _read_stack_release(file: Path) -> StackRelease:
    release = _read_file(StackRelease, file)
    _check_stem(release.id, file, "id")
    return release


def _refuse_repeated(names: list[str], file: Path, key: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise CatalogDataError(file, key, f"{name!r} is given more than once")


def _check_vendors(catalog: Catalog, folder: Path) -> None:
    owners: dict[str, str] = {name: name for name in catalog.vendors}
    backends = {backend for table in catalog.flagtree_wheels.values() for backend in table.backends}
    for vendor in catalog.vendors.values():
        file = folder / "vendors" / f"{vendor.name}.yaml"
        for alias in vendor.aliases:
            owner = owners.setdefault(alias, vendor.name)
            if owner != vendor.name or alias == vendor.name or vendor.aliases.count(alias) > 1:
                raise CatalogDataError(file, "aliases", f"{alias!r} already stands for {owner}")
        release = catalog.stack_releases.get(vendor.default_stack_release)
        if release is None or vendor.name not in release.vendors:
            problem = "does not exist" if release is None else f"does not list vendor {vendor.name}"
            raise CatalogDataError(
                file, "default_stack_release", f"stack release {vendor.default_stack_release!r} {problem}"
            )
        if vendor.flagtree_row is not None and vendor.flagtree_row not in backends:
            raise CatalogDataError(file, "flagtree_row", f"no FlagTree table lists {vendor.flagtree_row!r}")
    for image in catalog.images:
        if image.vendor not in catalog.vendors:
            raise CatalogDataError(folder / "images.yaml", "images", f"unknown vendor {image.vendor!r}")


def _check_stack_release(release: StackRelease, file: Path, catalog: Catalog) -> None:
    _refuse_repeated(list(release.vendors), file, "vendors")
    for vendor in release.vendors:
        if vendor not in catalog.vendors:
            raise CatalogDataError(file, "vendors", f"unknown vendor {vendor!r}")
    plans = [release.packages, *(override.packages for override in release.overrides)]
    for plan in (plan for group in plans for plan in group.values()):
        if isinstance(plan, WheelTablePlan) and plan.table not in catalog.flagtree_wheels:
            raise CatalogDataError(file, "packages.flagtree.table", f"unknown FlagTree table {plan.table!r}")


def _check_wheels(catalog: Catalog, file: Path) -> None:
    if catalog.default_flagtree_table not in catalog.flagtree_wheels:
        raise CatalogDataError(file, "default", f"unknown FlagTree table {catalog.default_flagtree_table!r}")
    for table in catalog.flagtree_wheels.values():
        builds = [f"{wheel.row} for Python {python}" for wheel in table.rows for python in wheel.python]
        _refuse_repeated(builds, file, f"tables.{table.id}.rows")
        for backend in sorted(table.backends - {wheel.row for wheel in table.rows}):
            raise CatalogDataError(file, f"tables.{table.id}.rows", f"backend {backend!r} has no base row")
