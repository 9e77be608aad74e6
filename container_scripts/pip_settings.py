"""What the worker's own pip says about itself: version, configuration, index in use.

Belongs here: reading pip's settings.
Does not belong here: installing, probing the network, any index address.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from container_scripts.commands import run_command

QUERY_TIMEOUT_S = 30.0
QUERIES = 3
"""How often pip is asked: version, configuration, default index."""

DEFAULT_INDEX_QUERY = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"

_SECTION_ORDER = ("global.", "install.", ":env:.")
_SETTING = re.compile(r"^([^=\s]+)=(.*)$")


@dataclass(frozen=True)
class PipSettings:
    """The settings that decide where packages come from; addresses may hold credentials."""

    version: Optional[str]
    index_url: Optional[str]
    index_url_configured: bool
    extra_index_urls: Tuple[str, ...]
    find_links: Tuple[str, ...]
    ca_bundle: Optional[str]
    externally_managed: bool

    def to_document(self) -> Dict[str, object]:
        """Return the settings for a result document, without credentials."""
        return {
            "version": self.version,
            "argv": pip_argv(),
            "index_url_configured": self.index_url_configured,
            "extra_index_urls": len(self.extra_index_urls),
            "find_links": bool(self.find_links),
            "externally_managed": self.externally_managed,
        }


def pip_argv() -> List[str]:
    """Return how this interpreter's own pip is run."""
    return [sys.executable, "-m", "pip"]


def parse_pip_configuration(text: str) -> Dict[str, str]:
    """Read ``pip config list`` as option -> value; the environment wins over files, install over global."""
    values: Dict[str, str] = {}
    for section in _SECTION_ORDER:
        for line in text.splitlines():
            match = _SETTING.match(line.strip())
            if match and match.group(1).startswith(section):
                values[match.group(1)[len(section) :]] = _unquote(match.group(2))
    return values


def _unquote(literal: str) -> str:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return literal
    return value if isinstance(value, str) else literal


def is_externally_managed() -> bool:
    """Say whether pip refuses to touch this interpreter because the system's packager owns it."""
    in_virtual_environment = sys.prefix != sys.base_prefix
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return not in_virtual_environment and os.path.exists(marker)


def read_pip_settings() -> PipSettings:
    """Ask pip for its version, its configuration and, if no index is configured, its own default."""
    version = run_command([*pip_argv(), "--version"], QUERY_TIMEOUT_S)
    words = version.output.split()
    configuration = run_command([*pip_argv(), "config", "list"], QUERY_TIMEOUT_S)
    values = parse_pip_configuration(configuration.output if configuration.succeeded else "")
    configured = values.get("index-url")
    return PipSettings(
        version=words[1] if version.succeeded and len(words) > 1 else None,
        index_url=configured or _default_index(),
        index_url_configured=configured is not None,
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        ca_bundle=values.get("cert"),
        externally_managed=is_externally_managed(),
    )


def _default_index() -> Optional[str]:
    answer = run_command([sys.executable, "-c", DEFAULT_INDEX_QUERY], QUERY_TIMEOUT_S)
    lines = answer.output.split()
    return lines[-1] if answer.succeeded and lines else None
