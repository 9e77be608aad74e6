"""What the plugin's dispatcher says when one implementation of an operator after the other fails.

Belongs here: reading its lines, and whose the implementation is that failed first.
Does not belong here: weighing it against other evidence (error_layers).

An operator that fails is tried again with the next implementation. Where none works, the traceback shows
only the last one; the first is the reason that there was anything to fall back from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, Optional, Tuple

from container_scripts.error_vocabulary import FLAGGEMS, PLUGIN
from container_scripts.log_reading import Line

_FAILED = re.compile(
    r"\b(?P<last>Last i|I)mplementation '(?P<implementation>[\w.\-]+)' failed for op '(?P<operator>[\w.\-]+)'"
    r"(?:: (?P<message>.*))?"
)
_FLAGGEMS_KIND = re.compile(r"(?:^|\.)flagos$")
_CALLED_WRONGLY = re.compile(
    r"unexpected keyword argument|positional arguments?\b|has no attribute|cannot import name|not callable"
)
"""Words of a caller that does not know what it calls: the caller is the plugin."""


@dataclass(frozen=True)
class FirstFailure:
    """The implementation of an operator that failed first, where no other worked either."""

    operator: str
    implementation: str
    component: str
    line: Line


def first_failure(lines: Iterable[Line]) -> Optional[FirstFailure]:
    """Return what failed first of the first operator of which every implementation failed, or None.

    Implementations of kind ``flagos`` are FlagGems; all others are the plugin's.
    """
    first: Dict[Tuple[str, str], FirstFailure] = {}
    for line in lines:
        found = _FAILED.search(line.text)
        if not found:
            continue
        operator = found["operator"]
        failure = first.setdefault(
            (line.process, operator),
            FirstFailure(
                operator,
                found["implementation"],
                _owner(found["implementation"], found["message"] or ""),
                line,
            ),
        )
        if found["last"] != "I":
            return failure
    return None


def _owner(implementation: str, message: str) -> str:
    flaggems = _FLAGGEMS_KIND.search(implementation) and not _CALLED_WRONGLY.search(message)
    return FLAGGEMS if flaggems else PLUGIN
