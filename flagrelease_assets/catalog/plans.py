"""How each of the five packages is installed, and what that means for one vendor.

Belongs here: install plans by method, stack releases, and the filling in of a vendor's specifics.
Does not belong here: running an installation, and the choice of a wheel (container_scripts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from flagrelease_assets.catalog.base import (
    CatalogError,
    CatalogModel,
    EnvironmentVariable,
    HttpsUrl,
    MajorMinor,
    Name,
    Sequence,
    Sourced,
    Text,
    VendorName,
    Version,
    WrongKeyError,
)

if TYPE_CHECKING:
    from flagrelease_assets.catalog.models import FlagTreeTable, Vendor

PackageKey = Literal["vllm", "flagtree", "flaggems", "flagcx", "vllm_plugin_fl"]
PACKAGE_ORDER: tuple[PackageKey, ...] = get_args(PackageKey)
"""The five packages in the order in which they are installed."""

GitHubRepository = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")]
GitRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$")]
WorkerFolder = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]*$")]
_WITHOUT_NETWORK = frozenset({"pip", "not_applicable"})
"""Methods that a folder of wheels is enough for."""

MakeFlag = Annotated[str, StringConstraints(pattern=r"^USE_[A-Z_]+=1$")]


class MetadataAlias(CatalogModel):
    """A second distribution name under which an installed package must be found (name and version)."""

    name: Text
    version: Version


class EntryPoints(CatalogModel):
    """Entry points that an installed package must register: ``name`` in each of ``groups``."""

    name: Text
    groups: Annotated[Sequence[Text], Field(min_length=1)]


class _Installation(CatalogModel):
    """What all plans that install something have: gate, provenance, and how to recognise the result.

    ``gate`` stops the release when the package fails. ``may_change`` names guarded packages (torch,
    numpy, …) whose version this installation may change; any other change is a failure.
    ``preinstalled`` are distributions that the worker's image brings: proven, and never installed.
    ``entry_points`` are checked after the import.
    """

    gate: bool
    source: Text
    distribution: Text
    import_name: Text
    version: Version | None = None
    preinstalled: dict[Text, Version] = Field(default_factory=dict)
    may_change: Sequence[Text] = ()
    entry_points: EntryPoints | None = None


class PipPlan(_Installation):
    """Install from the worker's package index, or from a fallback index if that lacks the version.

    ``remove`` lists distributions to uninstall afterwards (wrong builds that break the import).
    """

    method: Literal["pip"]
    requirements: Annotated[Sequence[Text], Field(min_length=1)]
    remove: Sequence[Text] = ()
    metadata_alias: MetadataAlias | None = None
    fallback_index_urls: Sequence[HttpsUrl] = ()
    no_deps: bool = False


class WheelTablePlan(_Installation):
    """Install the wheel that the FlagTree table lists for this worker, always without dependencies.

    ``required_triton`` (major.minor) decides the row; None takes the vendor's base row, whose Triton
    the vendor chose. ``replaces`` are distributions that own the same import package and must go.
    ``row`` is filled in for a vendor.
    """

    method: Literal["wheel_table"]
    table: Name
    required_triton: MajorMinor | None
    replaces: Sequence[Text]
    row: Name | None = None


class GitPlan(_Installation):
    """Install from a GitHub repository at a pinned ref (commit, tag or release branch).

    ``requirements_file`` is installed first, under constraints that keep the guarded packages.
    """

    method: Literal["git"]
    repository: GitHubRepository
    ref: GitRef
    requirements_file: Text | None = None
    build_requirements: Sequence[Text] = ()
    no_build_isolation: bool = False
    no_deps: bool = False
    environment: dict[EnvironmentVariable, str] = Field(default_factory=dict)


class GitMakePlan(_Installation):
    """Build a C++ library with make in a checkout, then install the Python package in ``subdirectory``.

    ``make_flag`` and ``adaptor`` are the vendor's and are filled in for it; ``library`` is the file
    that proves the build, relative to the checkout.
    """

    method: Literal["git_make"]
    repository: GitHubRepository
    ref: GitRef
    submodules: bool
    subdirectory: Text
    library: Text
    adaptor_variable: EnvironmentVariable
    no_build_isolation: bool
    no_deps: bool = False
    make_flag: MakeFlag | None = None
    adaptor: Name | None = None


class NotApplicablePlan(CatalogModel):
    """There is nothing to install, and ``reason`` says why; never a gate."""

    method: Literal["not_applicable"]
    reason: Text
    source: Text
    gate: Literal[False] = False


InstallPlan = Annotated[
    PipPlan | WheelTablePlan | GitPlan | GitMakePlan | NotApplicablePlan, Field(discriminator="method")
]


class VendorOverride(CatalogModel):
    """Plans that replace a stack release's common ones for some vendors."""

    vendors: Annotated[Sequence[VendorName], Field(min_length=1)]
    packages: Annotated[dict[PackageKey, InstallPlan], Field(min_length=1)]


class StackRelease(Sourced):
    """A named bundle of versions and refs of the five packages, for the vendors it lists.

    ``wheelhouse`` is a folder of wheels in the worker that stands in the place of every package index.
    """

    id: Name
    vllm_version: Version
    wheelhouse: WorkerFolder | None = None
    vendors: Annotated[Sequence[VendorName], Field(min_length=1)]
    packages: dict[PackageKey, InstallPlan]
    overrides: Sequence[VendorOverride] = ()
    note: Text | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> StackRelease:
        missing = [key for key in PACKAGE_ORDER if key not in self.packages]
        if missing:
            raise WrongKeyError("packages", f"lacks {', '.join(missing)}")
        overridden = [vendor for override in self.overrides for vendor in override.vendors]
        for vendor in overridden:
            if vendor not in self.vendors:
                raise WrongKeyError("overrides", f"names vendor {vendor!r}, which is not in vendors")
            if overridden.count(vendor) > 1:
                raise WrongKeyError("overrides", f"names vendor {vendor!r} more than once")
        for plans in (self.packages, *(override.packages for override in self.overrides)):
            indexed = [key for key, plan in plans.items() if plan.method not in _WITHOUT_NETWORK]
            if self.wheelhouse and indexed:
                raise WrongKeyError(
                    f"packages.{indexed[0]}.method",
                    "cannot come from a wheelhouse: use pip or not_applicable",
                )
            vllm = plans.get("vllm")
            if vllm is not None and not vllm.gate:
                raise WrongKeyError(
                    "packages.vllm.gate", "must be true: without vLLM nothing can be verified"
                )
        return self

    @property
    def triton(self) -> str | None:
        """Return the Triton version (major.minor) that this release's torch needs, None if it has none."""
        plan = self.packages["flagtree"]
        return plan.required_triton if isinstance(plan, WheelTablePlan) else None

    def plan_for(self, vendor: Vendor, tables: Mapping[str, FlagTreeTable]) -> dict[PackageKey, InstallPlan]:
        """Return the plan of each package for ``vendor``, in install order.

        What the vendor does not have becomes not applicable, with the reason. ``tables`` are the
        FlagTree tables by id. Raises CatalogError if the release does not list the vendor.
        """
        if vendor.name not in self.vendors:
            raise CatalogError(
                f"stack release {self.id} has no plan for vendor {vendor.name}; "
                f"it lists {', '.join(self.vendors)}"
            )
        plans = dict(self.packages)
        for override in self.overrides:
            if vendor.name in override.vendors:
                plans.update(override.packages)
        return {key: _fill_in(plans[key], vendor, tables) for key in PACKAGE_ORDER}


def _fill_in(plan: InstallPlan, vendor: Vendor, tables: Mapping[str, FlagTreeTable]) -> InstallPlan:
    if isinstance(plan, WheelTablePlan):
        return _fill_in_wheel(plan, vendor, tables)
    if isinstance(plan, GitMakePlan):
        if vendor.flagcx is None:
            return _not_applicable(str(vendor.flagcx_reason), vendor)
        return plan.model_copy(
            update={"make_flag": vendor.flagcx.make_flag, "adaptor": vendor.flagcx.adaptor}
        )
    return plan


def _fill_in_wheel(plan: WheelTablePlan, vendor: Vendor, tables: Mapping[str, FlagTreeTable]) -> InstallPlan:
    if vendor.flagtree_row is None:
        return _not_applicable(str(vendor.flagtree_reason), vendor)
    if vendor.flagtree_row not in tables[plan.table].backends:
        reason = f"FlagTree table {plan.table} lists no wheel for {vendor.flagtree_row}"
        return _not_applicable(reason, vendor)
    return plan.model_copy(update={"row": vendor.flagtree_row})


def _not_applicable(reason: str, vendor: Vendor) -> NotApplicablePlan:
    return NotApplicablePlan(method="not_applicable", reason=reason, source=vendor.source)
