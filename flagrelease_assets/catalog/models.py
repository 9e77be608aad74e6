"""Vendors, FlagTree wheels, benchmark profiles, images and mirrors as strict, frozen models.

Belongs here: what one record says and what makes it well formed; look-ups over the whole catalog.
Does not belong here: how packages are installed (plans.py), and reading files (loader.py).
"""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from flagrelease_assets.catalog.base import (
    CatalogError,
    CatalogModel,
    EnvironmentVariable,
    HttpsUrl,
    MajorMinor,
    Name,
    Seconds,
    Sequence,
    Sourced,
    Text,
    VendorName,
    WrongKeyError,
)
from flagrelease_assets.catalog.plans import InstallPlan, MakeFlag, PackageKey, StackRelease
from flagrelease_assets.catalog.timeouts import Timeouts

STACK_VARIABLES = frozenset({"VLLM_PLUGINS", "USE_FLAGGEMS", "FLAGCX_PATH"})
"""Environment variables that say which stack runs: set per run, so a vendor may not set them."""

Architecture = Literal["x86_64", "aarch64"]
BaseVariant = Literal["no_plugin", "vendor_plugin", "fl_without_flaggems"]
"""What serves as base: vLLM alone, with the vendor's own platform plugin, or with fl and FlagGems off."""

DeviceGlob = Annotated[str, StringConstraints(pattern=r"^/dev/[^\s]+$")]
ProbeArgument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./=,:*+-]+$")]
ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]


class UnknownVendorError(CatalogError):
    """A vendor name that is neither canonical nor an alias; the message lists the names and the nearest."""


class UnknownStackReleaseError(CatalogError):
    """A stack release id that the catalog does not hold; the message lists the ids."""


class Probe(CatalogModel):
    """A command that shows a vendor's devices, and how its output is read.

    ``argv[0]`` is a bare program name or an absolute path, which may hold ``*``. ``parser``:
    ``name_memory_csv`` one "name, MiB" line per device; ``rocm_smi_product`` property lines that start
    with ``LABEL[n]``; ``npu_smi_list`` records with a chip count; ``smi_list`` one ``LABEL n: name``
    line per device; ``presence`` no per-device records are known: exit status 0 says that the vendor's
    runtime works, and devices are counted by torch. ``label`` starts a device's lines.
    """

    argv: Annotated[Sequence[ProbeArgument], Field(min_length=1)]
    parser: Literal["name_memory_csv", "rocm_smi_product", "npu_smi_list", "smi_list", "presence"]
    label: Text | None = None
    timeout_s: Seconds = 5.0

    @model_validator(mode="after")
    def _is_well_formed(self) -> Probe:
        program = self.argv[0]
        if "/" in program and not program.startswith("/"):
            raise WrongKeyError("argv.0", f"{program!r} is neither a program name nor an absolute path")
        if any("*" in argument for argument in self.argv[1:]) or ("*" in program and "/" not in program):
            raise WrongKeyError(
                "argv", "* is for an absolute program path only, there is no shell to expand it"
            )
        needs_label = self.parser in ("rocm_smi_product", "smi_list")
        if needs_label != (self.label is not None):
            raise WrongKeyError(
                "label", f"{'is needed by' if needs_label else 'says nothing to'} {self.parser}"
            )
        return self


class MemoryProbe(CatalogModel):
    """A command that shows how much memory of each device is in use, and how its output is read.

    ``parser``: ``used_memory_csv`` one "index, MiB" line per device; ``rocm_smi_memory`` property lines
    that start with ``LABEL[n]``, in bytes.
    """

    argv: Annotated[Sequence[ProbeArgument], Field(min_length=1)]
    parser: Literal["used_memory_csv", "rocm_smi_memory"]
    label: Text | None = None
    timeout_s: Seconds = 10.0


class FlagCX(CatalogModel):
    """How FlagCX is built for a vendor: the make flag, and the adaptor of its torch plugin."""

    make_flag: MakeFlag
    adaptor: Name


class ProfileSize(CatalogModel):
    """The size of a benchmark workload: lengths in tokens, and the number of prompts."""

    input_len: Annotated[int, Field(gt=0)]
    output_len: Annotated[int, Field(gt=0)]
    num_prompts: Annotated[int, Field(gt=0)]


class BenchmarkProfile(ProfileSize):
    """One benchmark workload; ``full_size`` is its size before it was scaled for a slow vendor."""

    name: Name
    full_size: ProfileSize | None = None


class ProfileScale(CatalogModel):
    """What the benchmark profiles are multiplied by on a slow vendor, with minima and the reason."""

    length: Annotated[float, Field(gt=0, le=1)]
    prompts: Annotated[float, Field(gt=0, le=1)]
    min_length: Annotated[int, Field(gt=0)]
    min_prompts: Annotated[int, Field(gt=0)]
    reason: Text

    def apply(self, profile: BenchmarkProfile) -> BenchmarkProfile:
        """Return ``profile`` scaled, naming its full size; a minimum never makes it larger than that."""

        def scaled(value: int, factor: float, minimum: int) -> int:
            return min(value, max(minimum, round(value * factor)))

        return BenchmarkProfile(
            name=profile.name,
            input_len=scaled(profile.input_len, self.length, self.min_length),
            output_len=scaled(profile.output_len, self.length, self.min_length),
            num_prompts=scaled(profile.num_prompts, self.prompts, self.min_prompts),
            full_size=ProfileSize(**profile.model_dump(exclude={"name", "full_size"})),
        )


class Vendor(Sourced):
    """A chip vendor: how it is found, what its runs need, and what of the stack exists for it.

    ``memory`` tells the used memory of devices, where a tool is known that does. ``markers`` are device
    nodes that hint at the vendor when no probe answers; an SDK folder is no proof of a device and cannot
    be one. ``engine_arguments`` go to vLLM in every run, base and full.
    """

    name: VendorName
    display_name: Text
    aliases: Sequence[Name]
    detect: Sequence[Probe]
    memory: Sequence[MemoryProbe] = ()
    markers: Sequence[DeviceGlob]
    torch_backend: Literal["cuda", "npu", "musa", "xpu", "mlu", "gcu", "tsm", "cpu", "unknown"]
    visible_devices_variable: EnvironmentVariable | None
    container_visible_devices_variable: EnvironmentVariable | None = None
    smoke_model: ModelId
    engine_arguments: dict[str, JsonValue] = Field(default_factory=dict)
    environment: dict[EnvironmentVariable, str] = Field(default_factory=dict)
    timeouts: Timeouts
    flagcx: FlagCX | None = None
    flagcx_reason: Text | None = None
    flagtree_row: Name | None = None
    flagtree_reason: Text | None = None
    default_stack_release: Name
    base_variants: Annotated[Sequence[BaseVariant], Field(min_length=1)] = ("no_plugin",)
    supports_full_stack: bool = True
    full_stack_reason: Text | None = None
    profile_scale: ProfileScale | None = None

    @model_validator(mode="after")
    def _absence_has_a_reason(self) -> Vendor:
        for name, present, reason in (
            ("flagcx", self.flagcx is not None, self.flagcx_reason),
            ("flagtree_row", self.flagtree_row is not None, self.flagtree_reason),
            ("supports_full_stack", self.supports_full_stack, self.full_stack_reason),
        ):
            if present == (reason is not None):
                raise WrongKeyError(name, "either it is there, or its reason says why not")
        clash = STACK_VARIABLES & self.environment.keys()
        if clash:
            raise WrongKeyError("environment", f"{', '.join(sorted(clash))}: set per run, not per vendor")
        return self

    @property
    def serve_flags(self) -> list[str]:
        """Return ``engine_arguments`` as command-line items for ``vllm serve``."""
        flags: list[str] = []
        for key, value in self.engine_arguments.items():
            flag = "--" + key.replace("_", "-")
            if value is True:
                flags.append(flag)
            elif value is False:
                flags.append(flag.replace("--", "--no-", 1))
            else:
                flags += [flag, value if isinstance(value, str) else json.dumps(value)]
        return flags


class FlagTreeWheel(CatalogModel):
    """One wheel: the row's name, the backend it is built for, and what it needs.

    A row named like its backend is the base row. ``triton`` is the Triton version that it provides.
    """

    row: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[0-9]+\.[0-9]+)?$")]
    backend: Name
    triton: MajorMinor
    python: Annotated[Sequence[MajorMinor], Field(min_length=1)]
    min_glibc: MajorMinor
    architectures: Annotated[Sequence[Architecture], Field(min_length=1)]
    specifier: Annotated[str, StringConstraints(pattern=r"^flagtree={2,3}[0-9][0-9A-Za-z.+]*$")]

    @model_validator(mode="after")
    def _row_belongs_to_backend(self) -> FlagTreeWheel:
        if self.row not in (self.backend, f"{self.backend}_{self.triton}"):
            raise WrongKeyError(
                "row", f"must be {self.backend} or {self.backend}_{self.triton}, is {self.row}"
            )
        return self


class FlagTreeTable(Sourced):
    """A dated table of FlagTree wheels and the index that holds them."""

    id: Name
    description: Text
    index_url: HttpsUrl
    trusted_host: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")]
    rows: Annotated[Sequence[FlagTreeWheel], Field(min_length=1)]

    @property
    def backends(self) -> frozenset[str]:
        """Return the backends for which the table lists a wheel."""
        return frozenset(wheel.backend for wheel in self.rows)


class Image(Sourced):
    """A container image known to be a base for a vendor's worker; ``reference`` may be a template."""

    vendor: VendorName
    reference: Text
    note: Text | None = None


class Mirrors(Sourced):
    """Where source code is fetched: directly, or through a prefix when that is slow or unreachable.

    Package indexes are not here: the index in use is asked of pip, and a mirror is configuration.
    """

    github: HttpsUrl
    github_mirror_prefix: HttpsUrl


class Catalog(CatalogModel):
    """Everything that was loaded, with the look-ups that need more than one table."""

    vendors: dict[str, Vendor]
    stack_releases: dict[str, StackRelease]
    flagtree_wheels: dict[str, FlagTreeTable]
    default_flagtree_table: Name
    profiles: Sequence[BenchmarkProfile]
    images: Sequence[Image]
    mirrors: Mirrors

    @property
    def probe_limits(self) -> list[float]:
        """Return the limits (seconds) of all vendors' probes: detection asks one after the other."""
        return [probe.timeout_s for vendor in self.vendors.values() for probe in vendor.detect]

    def resolve_vendor(self, name: str) -> str:
        """Return the canonical name of a vendor name or alias, whatever its case.

        Raises UnknownVendorError, which lists the vendors and the nearest name.
        """
        known = {alias: vendor.name for vendor in self.vendors.values() for alias in vendor.aliases}
        known.update({vendor: vendor for vendor in self.vendors})
        wanted = name.strip().lower()
        if wanted in known:
            return known[wanted]
        nearest = difflib.get_close_matches(wanted, known, n=1)
        hint = f"; did you mean {known[nearest[0]]}?" if nearest else "."
        raise UnknownVendorError(f"unknown vendor {name!r}{hint} Vendors: {', '.join(self.vendors)}")

    def stack_release(self, release_id: str) -> StackRelease:
        """Return the stack release of that id; raises UnknownStackReleaseError, which lists the ids."""
        if release_id not in self.stack_releases:
            known = ", ".join(self.stack_releases)
            raise UnknownStackReleaseError(f"unknown stack release {release_id!r}. Stack releases: {known}")
        return self.stack_releases[release_id]

    def default_stack_release(self, vendor: str) -> StackRelease:
        """Return the stack release that is used for ``vendor`` unless another is configured."""
        return self.stack_releases[self.vendors[self.resolve_vendor(vendor)].default_stack_release]

    def stack_releases_for(self, vendor: str) -> list[str]:
        """Return the ids of the stack releases that list ``vendor``."""
        name = self.resolve_vendor(vendor)
        return [release.id for release in self.stack_releases.values() if name in release.vendors]

    def plan_for(self, vendor: str, stack_release: str | None = None) -> dict[PackageKey, InstallPlan]:
        """Return each package's plan for ``vendor`` in install order; by default for its default release.

        Raises CatalogError for an unknown release, or one that does not list the vendor.
        """
        name = self.resolve_vendor(vendor)
        chosen = stack_release or self.vendors[name].default_stack_release
        release = self.stack_release(chosen)
        return release.plan_for(self.vendors[name], self.flagtree_wheels)

    def profiles_for(self, vendor: str) -> list[BenchmarkProfile]:
        """Return the benchmark profiles for ``vendor``, scaled where its entry says so."""
        scale = self.vendors[self.resolve_vendor(vendor)].profile_scale
        return [scale.apply(profile) if scale else profile for profile in self.profiles]
