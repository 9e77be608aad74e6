"""`waivers:`, findings that are known and accepted for a while, each with its reason and last day.

Belongs here: one waiver's entry. Does not belong here: what it does to a verdict (`../waivers.py`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator

from flagrelease_assets.catalog import load_catalog
from flagrelease_assets.contracts.common import Component
from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.deployment.checks import CHECK_NAMES
from flagrelease_assets.deployment.section import Section

EVERY_MODEL = "*"
WAIVABLE_STEPS = (
    "install_status",
    "env_verification",
    "run_a_result",
    "run_b_result",
    "diff_analysis",
    "benchmark_metrics",
    "accuracy_metrics",
)
"""Steps whose findings can keep a release that serves from PASS."""


class Waiver(Section):
    """A finding of one vendor that does not count until a day."""

    vendor: str = Field(description="Vendor, by name or alias.")
    model: str = Field(description="Model id or key, or `*` for every model of the vendor.")
    check: str | None = Field(None, description="Check or step whose findings are meant.")
    component: Component | None = Field(None, description="Component that the findings must be about.")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="Why this is acceptable; printed in every report that uses it."
    )
    expires: date = Field(description="Last day (UTC) on which it counts.")

    @field_validator("vendor")
    @classmethod
    def _vendor_is_known(cls, value: str) -> str:
        return load_catalog().resolve_vendor(value)

    @field_validator("model")
    @classmethod
    def _model_is_a_key(cls, value: str) -> str:
        return value if value == EVERY_MODEL else model_key(value)

    @field_validator("check")
    @classmethod
    def _check_is_known(cls, value: str | None) -> str | None:
        known = (*CHECK_NAMES, *WAIVABLE_STEPS)
        if value is not None and value not in known:
            raise ValueError(f"unknown check {value!r}; checks and steps: {', '.join(known)}")
        return value

    @field_validator("component", mode="before")
    @classmethod
    def _component_is_known(cls, value: object) -> object:
        if value is not None and value not in get_args(Component):
            raise ValueError(f"unknown component {value!r}; components: {', '.join(get_args(Component))}")
        return value

    @model_validator(mode="after")
    def _names_what_it_waives(self) -> Self:
        if self.check is None and self.component is None:
            raise ValueError("name the `check` or the `component` that it is about")
        return self

    def concerns(self, vendor: str, model: str) -> bool:
        """Whether this waiver is about a vendor and a model key."""
        return self.vendor == vendor and self.model in (EVERY_MODEL, model)

    @property
    def subject(self) -> str:
        """What is waived, as a reader names it."""
        return " through ".join(filter(None, [self.check or "every finding", self.component]))
