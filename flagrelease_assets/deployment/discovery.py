"""`discovery:`, which models of a hub are released without being named one by one.

Belongs here: the rules. Does not belong here: asking the hub (`hubs/listing.py`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import Field, model_validator

from flagrelease_assets.deployment.models import ModelEntry
from flagrelease_assets.deployment.section import Section


class DiscoveryRule(Section):
    """Models of an organisation, or found by words, that match an allow-list."""

    source: Literal["huggingface"] = Field("huggingface", description="Hub that is asked.")
    organisation: str | None = Field(None, min_length=1, description="Only models of this organisation.")
    search: str | None = Field(None, min_length=1, description="Only models whose id has these words.")
    allow: list[str] = Field(
        min_length=1, description="Shell patterns of model ids (`org/Name-*`); a model must match one."
    )
    limit: int = Field(50, ge=1, le=1000, description="Newest models to take at most.")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.organisation or self.search):
            raise ValueError("give `organisation`, `search` or both: a whole hub is never asked for")
        return self

    def admits(self, model_id: str) -> bool:
        """Whether a model of the hub may be released by this rule."""
        owner = model_id.partition("/")[0] if "/" in model_id else None
        of_owner = self.organisation is None or owner == self.organisation
        return of_owner and any(fnmatchcase(model_id, pattern) for pattern in self.allow)

    def entry(self, model_id: str) -> ModelEntry:
        """Return the entry that a discovered model has: a hub model with every default."""
        return ModelEntry(id=model_id, source=self.source)
