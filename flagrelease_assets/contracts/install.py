"""What `install_status` stores: the environment's facts and what became of each of the five packages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from flagrelease_assets.contracts.common import Component, Document, JobResult, Status, StepDocument

PackageKey = Literal["vllm", "flagtree", "flaggems", "flagcx", "vllm_plugin_fl"]
MULTICHIP_PACKAGES: tuple[PackageKey, ...] = ("flagtree", "flaggems", "flagcx")
COMPONENT_OF_PACKAGE: dict[PackageKey, Component] = {
    "vllm": "vLLM",
    "flagtree": "FlagTree",
    "flaggems": "FlagGems",
    "flagcx": "FlagCX",
    "vllm_plugin_fl": "vllm-plugin-FL",
}


class Device(Document):
    """One accelerator as the worker's own tools report it."""

    index: int
    name: str
    memory_total_mb: int | None = None


class DiskFacts(Document):
    """Free space of one path that the release writes to, in GB."""

    path: str
    free_gb: float
    total_gb: float | None = None


class EnvironmentFacts(JobResult):
    """What `collect_env_info` saw in the worker."""

    python_version: str | None = None
    python_full_version: str | None = None
    python_executable: str | None = None
    glibc_version: str | None = None
    libc: str | None = None
    arch: str | None = None
    vendor: str | None = None
    devices: list[Device] = []
    disk_free_gb: float | None = None
    disks: list[DiskFacts] = []
    cpu_count: int | None = None
    memory_total_mb: int | None = None
    shm_total_mb: int | None = None


class Source(BaseModel):
    """How one kind of download is reached, as `detect_network` saw it; newer keys are ignored."""

    use_mirror: bool = False
    prefix: str | None = None


class NetworkFacts(JobResult):
    """What `detect_network` saw."""

    github: Source = Source()
    pypi: Source = Source()


class NetworkChoice(Document):
    """How packages and sources are fetched: directly or through the configured mirrors."""

    github_mirror: bool = False
    pypi_mirror: bool = False
    github_prefix: str | None = None
    reason: str | None = None


class PackageChange(Document):
    """A distribution whose version an installation changed."""

    name: str
    before: str | None = None
    after: str | None = None


class Installation(JobResult):
    """What `install_package` did."""

    version: str | None = None
    provider: str | None = None
    commit: str | None = None
    checkout: str | None = None
    action: str | None = None
    changed: list[PackageChange] = []
    preinstalled: dict[str, str] = {}


class PackageProof(JobResult):
    """One package as `validate_packages` found it."""

    version: str | None = None
    provider: str | None = None


class Validation(JobResult):
    """What `validate_packages` saw."""

    packages: dict[str, PackageProof] = {}
    distributions_digest: str | None = None


class PackageResult(Document):
    """What became of one package."""

    status: Status
    version: str | None = None
    provider: str | None = Field(None, description="Distribution that owns the import package.")
    commit: str | None = None
    action: str | None = Field(None, description="already_present, installed or skipped.")
    gate: bool = Field(False, description="Whether the release stops when this package fails.")
    reason: str | None = None
    seconds: float = 0.0
    changed: list[PackageChange] = []
    preinstalled: dict[str, str] = Field(
        {}, description="What the image had to bring for it, in the version found."
    )


class InstallStatus(StepDocument):
    """The result of installing and validating the stack release of a vendor."""

    step: Literal["install_status"] = "install_status"
    stage: Literal["install-stack"] = "install-stack"
    container: str = ""
    stack_release: str = ""
    network: NetworkChoice = NetworkChoice()
    wheelhouse: str | None = Field(None, description="Folder in the worker that replaced every index.")
    python_version: str | None = None
    glibc_version: str | None = None
    packages: dict[PackageKey, PackageResult] = {}
    flagcx_path: str | None = None
    gate_passed: bool = False
    packages_digest: str | None = Field(None, description="Digest of every distribution in the worker.")
    environment: EnvironmentFacts | None = None
    validation: Validation | None = None

    def essence(self) -> dict[str, Any]:
        """Return what runs depend on: the packages as they are and where they are."""
        volatile = {"seconds", "action", "reason", "changed"}
        return {
            "packages": {key: item.model_dump(exclude=volatile) for key, item in self.packages.items()},
            "packages digest": self.packages_digest,
            "flagcx path": self.flagcx_path,
            "gate passed": self.gate_passed,
            "devices": [device.model_dump() for device in self.environment.devices]
            if self.environment
            else [],
        }

    @property
    def multichip_installed(self) -> list[PackageKey]:
        """The multi-chip packages that are really there."""
        there = {key for key, package in self.packages.items() if package.status == Status.PASS}
        return [key for key in MULTICHIP_PACKAGES if key in there]
