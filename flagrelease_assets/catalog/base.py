"""What every catalog model shares: strictness, provenance and the string forms used in several files.

Belongs here: the base models, the base error and the constrained strings.
Does not belong here: any single table.
"""

from __future__ import annotations

import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Item = TypeVar("Item")
# YAML sequences arrive as lists; only the container is converted, the items stay strict.
Sequence = Annotated[tuple[Item, ...], Field(strict=False)]

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
VendorName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*$")]
EnvironmentVariable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
MajorMinor = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*[0-9a-zA-Z.+]*$")]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$")]
LONGEST_LIMIT_S = 14 * 24 * 3600.0
"""No limit is longer than two weeks, in seconds: one that nobody lives to see is no limit."""

Seconds = Annotated[float, Field(gt=0, le=LONGEST_LIMIT_S, allow_inf_nan=False)]
"""A limit: positive, finite and of human size, so that none can be switched off."""


class CatalogError(ValueError):
    """The catalog is wrong, or does not hold what was asked for; the message says what to correct."""


class WrongKeyError(ValueError):
    """What a record's own check found: the ``key`` that is wrong, within the record, and the ``reason``."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class CatalogModel(BaseModel):
    """A catalog record: unknown keys are refused, types are not guessed, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Sourced(CatalogModel):
    """A record that says where it comes from (``source``) and when it was read there (``date``)."""

    source: Text
    date: datetime.date
