"""Find out which vendor's accelerators this worker has, by asking every vendor's own tool.

Belongs here: running the catalog's probes, choosing among several answers.
Does not belong here: the probes themselves (catalog data), reading their output (device_probes).
"""

from __future__ import annotations

import glob
import shutil
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from container_scripts.commands import run_command
from container_scripts.device_probes import PARSERS, PRESENCE, Device
from container_scripts.distributions import installed_version

CPU, UNKNOWN = "cpu", "unknown"

# What a vendor's build of torch is called: an extension beside it, or the local part of its version.
TORCH_EXTENSIONS = {
    "torch_npu": "ascend",
    "torch_musa": "mthreads",
    "torch_mlu": "cambricon",
    "torch_gcu": "enflame",
}
TORCH_BUILD_TAGS = {
    "metax": "metax",
    "maca": "metax",
    "corex": "iluvatar",
    "dtk": "hygon",
    "das": "hygon",
    "rocm": "amd",
    "cu": "nvidia",
}


@dataclass(frozen=True)
class Probe:
    """One way of listing a vendor's devices: a command (its first word may be a glob) and its parser.

    With the parser ``presence`` exit status 0 says that the vendor's runtime works, not how many
    devices there are.
    """

    argv: Tuple[str, ...]
    parser: str
    label: Optional[str] = None
    timeout_s: float = 5.0


@dataclass(frozen=True)
class Found:
    """The devices that one vendor's tool listed (none if it only says "present"), and its command."""

    devices: Tuple[Device, ...]
    source: str


def locate(program: str) -> Optional[str]:
    """Return the path of ``program`` (a name on the path, a path, or a glob of paths), or None."""
    if "*" in program:
        return next(iter(sorted(glob.glob(program))), None)
    return shutil.which(program)


def run_probes(probes: Sequence[Probe]) -> Optional[Found]:
    """Run a vendor's probes in order and return the first that proves a device, or None."""
    for probe in probes:
        program = locate(probe.argv[0])
        if program is None:
            continue
        argv = [program, *probe.argv[1:]]
        done = run_command(argv, probe.timeout_s, env={"LC_ALL": "C"})
        if not done.succeeded:
            continue
        devices = [] if probe.parser == PRESENCE else PARSERS[probe.parser](done.output, probe.label)
        if devices or probe.parser == PRESENCE:
            return Found(tuple(devices), " ".join(argv))
    return None


def find_devices(vendors: Mapping[str, Sequence[Probe]]) -> Dict[str, Found]:
    """Return vendor -> devices for every vendor whose own tool proves one; all vendors are asked."""
    answers = {name: run_probes(probes) for name, probes in vendors.items()}
    return {name: found for name, found in answers.items() if found}


def choose_vendor(
    given: Optional[str], candidates: Sequence[str], torch_vendor: Optional[str]
) -> Tuple[str, str]:
    """Return (vendor, where it is from: ``given`` or ``probed``).

    A given vendor is authoritative. Of several candidates (a display card, a tool that imitates
    another vendor's) the one that torch was built for counts; without such evidence it is unknown.
    """
    if given:
        return given, "given"
    if len(candidates) == 1:
        return candidates[0], "probed"
    return (torch_vendor if torch_vendor in candidates and torch_vendor else UNKNOWN), "probed"


def vendor_of_torch() -> Optional[str]:
    """Return the vendor that the installed torch was built for, or None."""
    for extension, vendor in TORCH_EXTENSIONS.items():
        if installed_version(extension):
            return vendor
    local = (installed_version("torch") or "").partition("+")[2].lower()
    return next((vendor for tag, vendor in TORCH_BUILD_TAGS.items() if tag in _words(local)), None)


def _words(local: str) -> List[str]:
    """Split a local version into words without their numbers: ``cu129`` -> ``cu``."""
    return [part.rstrip("0123456789") for part in local.replace("-", ".").split(".")]
