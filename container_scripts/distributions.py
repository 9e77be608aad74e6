"""Facts about the distributions installed in this interpreter.

Belongs here: versions, who owns an import package, where a distribution came from, digests, comparisons.
Does not belong here: installing anything, or importing the packages themselves.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import re
import site
import sys
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

GUARDED_DISTRIBUTIONS = ("torch", "vllm", "numpy", "transformers")
GUARDED_IMPORTS = ("triton",)

_PUBLIC_VERSION = re.compile(r"^v?(\d+(?:\.\d+)*)((?:a|b|rc|\.post|\.dev)\d+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """The pinned source that a distribution was built from, as recorded beside it (``direct_url.json``)."""

    url: str
    ref: str
    commit: str


def normalise_name(name: str) -> str:
    """Return a distribution's name as the packaging standard compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def same_release(found: Optional[str], wanted: Optional[str]) -> bool:
    """Say whether ``found`` is release ``wanted``.

    A wanted version without local part is met by every build of it (0.13.0 by 0.13.0+cu129); a wanted
    local part must be there. Trailing zeros are equal (2.35 and 2.35.0).
    """
    if not found or not wanted:
        return False
    if "+" in wanted and found.partition("+")[2].lower() != wanted.partition("+")[2].lower():
        return False
    return _public(found) == _public(wanted)


def _public(version: str) -> Tuple[Tuple[int, ...], str]:
    public = version.strip().partition("+")[0].lower()
    match = _PUBLIC_VERSION.match(public)
    if not match:
        return (), public
    numbers = [int(number) for number in match.group(1).split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), public[match.end(1) :].lstrip(".-_")


def refresh() -> None:
    """Make distributions visible that another process installed after this interpreter started."""
    for folder in site.getsitepackages():
        if os.path.isdir(folder) and folder not in sys.path:
            site.addsitedir(folder)
    importlib.invalidate_caches()


def find_distribution(name: str) -> Optional[importlib.metadata.Distribution]:
    """Return the installed distribution called ``name``, or None."""
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_version(name: str) -> Optional[str]:
    """Return the installed version of distribution ``name``, or None."""
    distribution = find_distribution(name)
    return distribution.version if distribution else None


def installed_distributions() -> Dict[str, str]:
    """Return normalised name -> version of everything installed; what comes first on the path counts."""
    found: Dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(normalise_name(name), distribution.version or "")
    return found


def providers_of(import_name: str) -> List[str]:
    """Return the names of all distributions that own files of ``import_name``, sorted.

    Decided by the distributions' file lists, never by a path that looks alike; a distribution
    installed in place (without files of its own) owns what its ``top_level.txt`` says.
    """
    owned = re.compile(rf"^{re.escape(import_name)}(?:/__init__\.pyc?|\.py|\.[\w.-]*so),", re.MULTILINE)
    names = set()
    for distribution in importlib.metadata.distributions():
        if owned.search(distribution.read_text("RECORD") or "") or (
            _is_editable(distribution)
            and import_name in (distribution.read_text("top_level.txt") or "").split()
        ):
            names.add(str(distribution.metadata["Name"]))
    return sorted(names)


def provider_of(import_name: str) -> Optional[str]:
    """Return the one distribution that owns ``import_name``, or None if there is none or more than one."""
    providers = providers_of(import_name)
    return providers[0] if len(providers) == 1 else None


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    try:
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
    return isinstance(direct, dict) and bool((direct.get("dir_info") or {}).get("editable"))


def distribution_folder(name: str) -> Optional[str]:
    """Return the metadata folder (``….dist-info``) of distribution ``name``, or None."""
    distribution = find_distribution(name)
    for path in (distribution.files if distribution else None) or ():
        if path.name == "METADATA" and path.parent.name.endswith(".dist-info"):
            return os.path.dirname(str(path.locate()))
    return None


def origin_of(name: str) -> Optional[Origin]:
    """Return the recorded source of distribution ``name``, or None if it was not recorded."""
    distribution = find_distribution(name)
    try:
        direct = json.loads((distribution.read_text("direct_url.json") if distribution else None) or "{}")
        vcs = direct["vcs_info"]
        return Origin(direct["url"], vcs["requested_revision"], vcs["commit_id"])
    except (ValueError, KeyError, TypeError):
        return None


def record_origin(name: str, origin: Origin) -> None:
    """Write the source of distribution ``name`` beside it, so that a later run can prove what is installed.

    Raises FileNotFoundError if the distribution has no metadata folder.
    """
    folder = distribution_folder(name)
    if folder is None:
        raise FileNotFoundError(f"distribution {name} has no metadata folder to record its origin in")
    revision = {"vcs": "git", "requested_revision": origin.ref, "commit_id": origin.commit}
    with open(os.path.join(folder, "direct_url.json"), "w", encoding="utf-8") as handle:
        json.dump({"url": origin.url, "vcs_info": revision}, handle)


def guarded_snapshot() -> Dict[str, Optional[str]]:
    """Return what an installation must not change by accident: name -> version, or None if absent.

    An import package that several distributions can provide is recorded as ``provider==version``;
    two providers at once mean that one has overwritten the other's files.
    """
    snapshot = {name: installed_version(name) for name in GUARDED_DISTRIBUTIONS}
    for import_name in GUARDED_IMPORTS:
        providers = [f"{name}=={installed_version(name)}" for name in providers_of(import_name)]
        snapshot[import_name] = ", ".join(providers) or None
    return snapshot


def changes(
    before: Mapping[str, Optional[str]], after: Mapping[str, Optional[str]]
) -> List[Dict[str, Optional[str]]]:
    """Return ``{name, before, after}`` for everything that differs between two snapshots, by name."""
    names = sorted(set(before) | set(after))
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    ]


def installed_digest() -> Tuple[str, int]:
    """Return a SHA-256 over every installed name, version and time of installation, and their number.

    Reads folder listings and file times only, so that it takes milliseconds in any interpreter.
    """
    lines = []
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                lines.append(f"{name} {_modified(os.path.join(folder, name))}")
    return digest_lines(lines), len(set(lines))


def _modified(folder: str) -> int:
    for name in ("RECORD", "METADATA", "PKG-INFO", ""):
        try:
            return os.stat(os.path.join(folder, name)).st_mtime_ns
        except OSError:
            continue
    return 0


def digest_lines(lines: Sequence[str]) -> str:
    """Return the SHA-256 (hexadecimal) of the sorted distinct ``lines``."""
    return hashlib.sha256("\n".join(sorted(set(lines))).encode("utf-8", "surrogateescape")).hexdigest()


def entry_point_names(group: str) -> List[str]:
    """Return the names of the entry points that installed distributions register in a group, sorted."""
    names: Set[str] = set()
    for distribution in importlib.metadata.distributions():
        names.update(point.name for point in distribution.entry_points if point.group == group)
    return sorted(names)
