"""Documents that somebody else wrote, read within limits: bytes, depth, digits, and what aliases unfold to.

Belongs here: the limits and the strict forms of JSON and YAML that every reader of the host shares.
Does not belong here: what a document must say (its own model), how long a transfer may take.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NoReturn

import yaml

MAX_CONFIGURATION_BYTES = 1_000_000
"""A configuration file is written by people: a thousand times what the largest shipped one needs."""

MAX_DEPTH = 64
"""Lists and mappings within each other; what we store is read back by a parser that ends at 200."""

MAX_DIGITS = 300
"""Of a whole number: what a float can hold. Real tokenizers have a length limit of 31 digits."""

MAX_YAML_NODES = 200_000
"""Values of a YAML file once every alias is replaced by what it stands for."""

_DEEPER_THAN_ALLOWED = f"nested deeper than {MAX_DEPTH} levels"
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_YAML_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RefusedDocumentError(ValueError):
    """A document that is over a limit or not strictly of its format; the message says which, not where."""


class TooLargeError(RefusedDocumentError):
    """A file of more bytes than allowed."""


def read_ordinary(path: Path, max_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return the content of an ordinary file.

    Raises OSError if it cannot be read, RefusedDocumentError if it is a folder, device or pipe, and
    TooLargeError if it is longer than ``max_bytes`` bytes; such a file is not read to its end.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedDocumentError("no ordinary file")
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLargeError(f"larger than {max_bytes} bytes")
    return content


def parse_json(text: str | bytes, *, allow_infinity: bool = False) -> Any:
    """Return the value of a JSON text.

    Raises json.JSONDecodeError for what is no JSON, and RefusedDocumentError for text that is no UTF-8, for
    nesting over MAX_DEPTH, whole numbers over MAX_DIGITS, a key that is given twice, and NaN and infinities,
    unless ``allow_infinity``: the config.json of some models has one.
    """
    try:
        plain = text if isinstance(text, str) else text.decode("utf-8-sig")
        _refuse_depth(plain)
        return json.loads(
            plain,
            parse_int=_whole_number,
            parse_constant=float if allow_infinity else _no_number,
            object_pairs_hook=_mapping,
        )
    except UnicodeDecodeError as error:
        raise RefusedDocumentError(f"no UTF-8 text: {error}") from error


def parse_yaml(text: bytes) -> Any:
    """Return the value of a YAML text of plain values.

    Raises RefusedDocumentError for what is no such YAML, for nesting over MAX_DEPTH, aliases that unfold to
    more than MAX_YAML_NODES values or contain themselves, whole numbers over MAX_DIGITS, and a key that is
    given twice.
    """
    try:
        plain = text.decode("utf-8-sig")
        _refuse_yaml_bombs(plain)
        return yaml.load(plain, Loader=_StrictLoader)
    except RefusedDocumentError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise RefusedDocumentError(" ".join(str(error).split())) from error
    except (AttributeError, LookupError, TypeError) as error:  # how the library meets `!!bool x`
        raise RefusedDocumentError(f"a value is not what its tag says ({error})") from error


def _refuse_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RefusedDocumentError(_DEEPER_THAN_ALLOWED)
        elif first in "]}":
            depth -= 1


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise RefusedDocumentError(f"a whole number of more than {MAX_DIGITS} digits")
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise RefusedDocumentError(f"{name} is no JSON number")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RefusedDocumentError(f"key {twice!r} is given twice")
    return found


class _StrictLoader(_YAML_LOADER):  # type: ignore[misc,valid-type]
    """The safe loader, in C where available, which refuses a key given twice and a number without end."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of ``node``; raises RefusedDocumentError for a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise RefusedDocumentError(f"key {key.value!r} is given twice{_place(key)}")
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return the whole number of ``node``; raises RefusedDocumentError for one over MAX_DIGITS."""
        if len(node.value) > MAX_DIGITS:
            raise RefusedDocumentError(f"a whole number of more than {MAX_DIGITS} digits{_place(node)}")
        return int(super().construct_yaml_int(node))


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def _place(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"


class _Unfolded:
    """Counts the values of a YAML text as aliases unfold, event by event, without building any of them."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str, int] = {}
        self.total = 0

    def begin(self, anchor: str | None) -> None:
        self._open.append((anchor, self.total))
        self._sizes.pop(anchor or "", None)
        self.total += 1
        if len(self._open) > MAX_DEPTH:
            raise RefusedDocumentError(_DEEPER_THAN_ALLOWED)

    def end(self) -> None:
        anchor, before = self._open.pop()
        if anchor:
            self._sizes[anchor] = self.total - before

    def alias(self, anchor: str | None) -> None:
        if any(name == anchor for name, _ in self._open):
            raise RefusedDocumentError(f"the value named &{anchor} contains itself")
        self.total += self._sizes.get(anchor or "", 1)


def _refuse_yaml_bombs(text: str) -> None:
    unfolded = _Unfolded()
    for event in yaml.parse(text, Loader=_YAML_LOADER):
        match event:
            case yaml.AliasEvent():
                unfolded.alias(event.anchor)
            case yaml.ScalarEvent():
                unfolded.begin(event.anchor)
                unfolded.end()
            case yaml.CollectionStartEvent():
                unfolded.begin(event.anchor)
            case yaml.CollectionEndEvent():
                unfolded.end()
        if unfolded.total > MAX_YAML_NODES:
            raise RefusedDocumentError(f"unfolds to more than {MAX_YAML_NODES} values")
