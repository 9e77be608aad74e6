"""Make an installed package findable under a second distribution name.

Belongs here: the metadata folder of such an alias. Does not belong here: which package needs one.
"""

from __future__ import annotations

import os
import shutil
from typing import Optional

from container_scripts.distributions import distribution_folder, find_distribution, normalise_name, refresh
from container_scripts.pip_runner import InstallError

INSTALLER = "flagrelease"


def alias_is_present(name: str, version: str) -> bool:
    """Say whether distribution ``name`` is there as an alias of exactly this version."""
    found = find_distribution(name)
    return found is not None and found.version == version and _is_alias(found.read_text("INSTALLER"))


def write_metadata_alias(distribution: str, name: str, version: str) -> None:
    """Write metadata for ``name`` ``version`` beside ``distribution``; doing it again changes nothing.

    An alias of another version is replaced. Raises InstallError if a real distribution has that name, or
    ``distribution`` is not installed.
    """
    if alias_is_present(name, version):
        return
    existing, old_folder = find_distribution(name), distribution_folder(name)
    if existing is not None:
        if not _is_alias(existing.read_text("INSTALLER")) or old_folder is None:
            raise InstallError(
                f"cannot name {distribution} {name!r}: {name} {existing.version} is really installed"
            )
        shutil.rmtree(old_folder)
    owner = distribution_folder(distribution)
    if owner is None:
        raise InstallError(f"cannot name {distribution} {name!r}: {distribution} is not installed")
    folder_name = f"{normalise_name(name).replace('-', '_')}-{version}.dist-info"
    folder = os.path.join(os.path.dirname(owner), folder_name)
    contents = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "INSTALLER": f"{INSTALLER}\n",
    }
    contents["RECORD"] = "".join(f"{folder_name}/{file},,\n" for file in [*contents, "RECORD"])
    os.makedirs(folder, exist_ok=True)
    for file, text in contents.items():
        with open(os.path.join(folder, file), "w", encoding="utf-8") as handle:
            handle.write(text)
    refresh()


def _is_alias(installer: Optional[str]) -> bool:
    return (installer or "").strip() == INSTALLER
