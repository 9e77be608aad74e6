"""`checks:`, how strictly a result is held against earlier ones.

Belongs here: severity and tolerance of each check. Does not belong here: judging.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from flagrelease_assets.deployment.section import Section


class CheckSettings(Section):
    """How one check counts."""

    severity: Literal["warn", "error", "off"] = Field(
        "error",
        description="An alert is a note (warn), keeps the verdict from PASS (error), or is not sought.",
    )

    @field_validator("severity", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, value: Any) -> Any:
        return "off" if value is False else value


class HistorySettings(CheckSettings):
    """A check against earlier results."""

    since: date | None = Field(
        None,
        description="Results measured before this day (UTC) no longer count; what came after is accepted.",
    )


class ToleranceSettings(HistorySettings):
    """A check that lets small changes pass."""

    minimum_percent: float = Field(
        1.0, ge=0, le=100, allow_inf_nan=False, description="Smallest change in per cent that may alert."
    )


class RegressionSettings(ToleranceSettings):
    """A check with a noise band from comparable results."""

    severity: Literal["warn", "error", "off"] = "warn"
    standard_deviations: float = Field(
        2.0, gt=0, allow_inf_nan=False, description="Half width of the noise band, in standard deviations."
    )
    minimum_results: int = Field(
        5, ge=2, description="Comparable results without which it says insufficient_data."
    )


class InstallDriftSettings(HistorySettings):
    """A package that changed is first of all something to know."""

    severity: Literal["warn", "error", "off"] = "warn"


class Checks(Section):
    """The checks of a release against its own history."""

    regression: RegressionSettings = RegressionSettings()
    full_base_ratio: CheckSettings = CheckSettings()
    accuracy_drop: ToleranceSettings = ToleranceSettings()
    output_drift: HistorySettings = HistorySettings()
    install_drift: InstallDriftSettings = InstallDriftSettings()

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, value: Any) -> Any:
        unknown = [str(name) for name in value if name not in CHECK_NAMES] if isinstance(value, dict) else []
        if unknown:
            raise ValueError(f"unknown check {unknown[0]!r}; checks: {', '.join(CHECK_NAMES)}")
        return value


CHECK_NAMES = tuple(Checks.model_fields)
