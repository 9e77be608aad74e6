"""Gives a container the access to Python packages that its host has.

Belongs here: translating the host's pip configuration into mounts and environment.
Does not belong here: making containers (container.py), or the name of any package index: the
configuration is passed on as it is found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from container_scripts.commands import run_command
from container_scripts.pip_settings import parse_pip_configuration, pip_argv
from flagrelease_assets.demo.progress import DemoError

CA_BUNDLE_TARGET = "/etc/flagrelease/ca-bundle.pem"
PIP_CONFIG_TIMEOUT_S = 30

_LOCATION_SETTINGS = ("index-url", "extra-index-url", "find-links")
_PLAIN_SETTINGS = (
    "no-index",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "only-binary",
    "no-binary",
    "prefer-binary",
)
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class BindMount:
    """A host path that a container sees under ``target``."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class PackageAccess:
    """What a container needs so that pip works in it as it does on the host.

    ``ca_bundle`` is the host's certificate bundle, if one is configured; it is among ``mounts``.
    ``host_network`` is true if an index or proxy listens on the host's loopback address, which a
    container on a bridge cannot reach.
    """

    environment: Mapping[str, str]
    mounts: tuple[BindMount, ...]
    ca_bundle: Path | None
    host_network: bool

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy variables alone, as an image build takes them."""
        return {name: self.environment[name] for name in _PROXY_VARIABLES if name in self.environment}


def host_package_access() -> PackageAccess:
    """Return what a container needs to install packages as this interpreter's pip does.

    Raises DemoError if pip does not answer.
    """
    listing = run_command([*pip_argv(), "config", "list"], PIP_CONFIG_TIMEOUT_S)
    if not listing.succeeded:
        raise DemoError(f"{sys.executable} -m pip config list failed: {listing.output.strip()[-300:]}")
    return package_access(parse_pip_configuration(listing.output), os.environ)


def package_access(settings: Mapping[str, str], environment: Mapping[str, str]) -> PackageAccess:
    """Translate the host's pip ``settings`` and ``environment`` for a container.

    Folders and file:// indexes are mounted read-only at their own paths; those that do not exist are
    left out. Settings that only concern the host (cache, target, user) are not passed on.
    """
    variables = {name: environment[name] for name in _PROXY_VARIABLES if environment.get(name)}
    variables |= {_variable(key): settings[key] for key in _PLAIN_SETTINGS if settings.get(key)}
    folders: set[Path] = set()
    for key in _LOCATION_SETTINGS:
        locations = []
        for location in settings.get(key, "").split():
            path = _local_path(location, bare_paths=key == "find-links")
            if path is None:
                locations.append(location)
            elif path.exists():
                locations.append(path.as_uri() if location.startswith("file:") else str(path))
                folders.add(_folder_to_mount(path))
        if locations:
            variables[_variable(key)] = " ".join(locations)
    mounts = [BindMount(folder, str(folder)) for folder in _outermost(folders)]
    ca_bundle = _ca_bundle(settings, environment)
    if ca_bundle:
        mounts.append(BindMount(ca_bundle, CA_BUNDLE_TARGET))
        variables |= dict.fromkeys(_CA_VARIABLES, CA_BUNDLE_TARGET)
    return PackageAccess(variables, tuple(mounts), ca_bundle, _uses_loopback(variables))


def _variable(setting: str) -> str:
    return "PIP_" + setting.upper().replace("-", "_")


def _local_path(location: str, bare_paths: bool) -> Path | None:
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if bare_paths and "://" not in location:
        return Path(location).expanduser().absolute()
    return None


def _folder_to_mount(path: Path) -> Path:
    """Return the folder that holds all of an index or of a set of links.

    An index folder is by convention called ``simple``, and its pages link to files beside it.
    """
    beside = path.is_file() or path.name == "simple"
    return path.parent if beside and path.parent != Path("/") else path


def _outermost(folders: set[Path]) -> list[Path]:
    return sorted(folder for folder in folders if not folders.intersection(folder.parents))


def _ca_bundle(settings: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    candidates = [settings.get("cert"), *(environment.get(name) for name in _CA_VARIABLES)]
    bundles = (Path(candidate).expanduser().absolute() for candidate in candidates if candidate)
    return next((bundle for bundle in bundles if bundle.is_file()), None)


def _uses_loopback(variables: Mapping[str, str]) -> bool:
    addresses = (
        word
        for name, value in variables.items()
        if name.lower() != "no_proxy" and name not in ("PIP_TRUSTED_HOST", *_CA_VARIABLES)
        for word in value.split()
    )
    return any(urlsplit(address).hostname in _LOOPBACK for address in addresses if "://" in address)
