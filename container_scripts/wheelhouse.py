"""A folder of wheels in the place of an index: what it holds, and what an installation would miss in it.

Belongs here: reading file names, comparing them and what is installed with what is required.
Does not belong here: installing (install_methods), which packages a stack release wants (catalog).
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Mapping, Optional, Sequence, Set

from container_scripts.distributions import installed_version, normalise_name, same_release

_EXACT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:==\s*([^\s;,]+))?")
_WHEEL = re.compile(r"^([^-]+)-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl$")
_SOURCE = re.compile(r"^(.+)-([^-]+)\.(?:tar\.gz|zip)$")


class NoWheelhouseError(Exception):
    """The folder cannot be read; the message says what to do."""


def distributions_in(folder: str) -> Dict[str, Set[str]]:
    """Return normalised name -> versions of the wheels and source archives in ``folder``.

    Raises NoWheelhouseError if it is no readable folder.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise NoWheelhouseError(
            f"the wheelhouse {folder} cannot be read ({error.strerror}): copy or mount it into the worker, "
            "or correct `wheelhouse`"
        ) from error
    found: Dict[str, Set[str]] = {}
    for name in names:
        match = _WHEEL.match(name) or _SOURCE.match(name)
        if match:
            found.setdefault(normalise_name(match[1]), set()).add(match[2].replace("_", "+", 1))
    return found


def lacking(requirements: Sequence[str], there: Mapping[str, Set[str]]) -> List[str]:
    """Return the requirements that neither are installed nor lie among ``there``, as they were written.

    A requirement is a name, or a name with ``==`` and a version; of any other kind only the name counts.
    """
    missing = []
    for requirement in requirements:
        match = _EXACT.match(requirement)
        if match and not _is_there(match[1], match[2], there):
            missing.append(requirement)
    return missing


def wrongly_preinstalled(wanted: Mapping[str, str]) -> List[str]:
    """Return what is to be said of each distribution that should be installed already, and is not so."""
    found = {name: installed_version(name) for name in wanted}
    return [
        f"{name} {version} (found {found[name] or 'none'})"
        for name, version in wanted.items()
        if found[name] is None or not same_release(found[name], version)
    ]


def _is_there(name: str, version: Optional[str], there: Mapping[str, Set[str]]) -> bool:
    installed = installed_version(name)
    if installed is not None and (version is None or same_release(installed, version)):
        return True
    versions = there.get(normalise_name(name), set())
    return bool(versions) if version is None else any(same_release(one, version) for one in versions)
