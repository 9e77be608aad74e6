"""Model ids as keys: `org/name` becomes `org--name`, and nothing that would be lost or misread passes.

Belongs here: the syntax of a model key.
Does not belong here: partition definitions (`partitions.py`).
"""

from __future__ import annotations

import re

_MODEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ID_SEPARATOR = "--"


class InvalidModelKeyError(ValueError):
    """A model id that cannot be a partition key, with the rule it breaks."""


def model_key(model_id: str) -> str:
    """Return the partition key of a model id.

    Raises InvalidModelKeyError for what Dagster would lose or misread in a key (`|`, `,`, `...`) and for
    what a path would misread (`/`, `..`).
    """
    key = model_id.replace("/", _ID_SEPARATOR, 1)
    if not _MODEL_KEY.fullmatch(key) or ".." in key:
        raise InvalidModelKeyError(
            f"model {model_id!r} cannot be a partition key: use `org/name` or a name of letters, digits, "
            "`.`, `_` and `-` (at most 200, starting with a letter or digit)"
        )
    return key


def model_id(key: str) -> str:
    """Return the hub id that a key was most likely made of (`org--name` becomes `org/name`)."""
    return key.replace(_ID_SEPARATOR, "/", 1)
