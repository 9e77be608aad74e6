"""Which operators make a full stack fail, how that was found, and the stack that works without them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flagrelease_assets.contracts.common import Document, JobResult, PhaseName
from flagrelease_assets.contracts.model_run import PhaseDocument


class OperatorTrial(Document):
    """One engine start of the search."""

    number: int
    operators_on: int = Field(description="How many of FlagGems' operators were on.")
    outcome: Literal["PASS", "SAME", "OTHER"] = Field(
        description="Works as base does, fails as the full stack does, or fails in another way."
    )
    reason: str = ""
    seconds: float = 0.0
    on: list[str] = Field([], description="The operators that were on, if few.")
    off: list[str] = Field([], description="The operators that were off, if few.")


class OperatorSearch(Document):
    """The search for the guilty operators: what was found, with how many engine starts."""

    status: str
    reason: str = ""
    phase: PhaseName | None = Field(
        None, description="Phase in which its engines were started; null in older results."
    )
    operators: int = Field(0, description="Operators that could be switched on and off.")
    left_out_before: list[str] = Field(
        [], description="Operators that were left out already: by the plugin itself, or by an earlier search."
    )
    guilty: list[list[str]] = Field([], description="Each guilty operator; several that fail only together.")
    among: list[str] = Field([], description="Where the search had to stop: the guilty one is among these.")
    verified: bool = Field(False, description="Each unit fails alone, and all but them work as base does.")
    variable: str = Field("", description="The plugin's variable that names the operators left out.")
    value: str | None = Field(
        None, description="Its value with which the stack was seen to work; null if it was not."
    )
    starts: int = Field(0, description="Engine starts that it took.")
    starts_bound: int = Field(0, description="The most that so many operators and guilty ones can take.")
    at_once: int = 1
    trials: list[OperatorTrial] = []
    seconds: float = 0.0

    @property
    def names(self) -> list[str]:
        """Every guilty operator."""
        return [name for unit in self.guilty for name in unit]

    @property
    def acquits_all(self) -> bool:
        """Whether the stack fails in the same way with none of the operators on."""
        return any(trial.operators_on == 0 and trial.outcome == "SAME" for trial in self.trials)

    @property
    def in_words(self) -> str:
        """The guilty as people read them: single operators, and those that fail only together."""
        return ", ".join(" with ".join(unit) for unit in self.guilty)


class OperatorSearchRun(JobResult):
    """The document of `search_operators`: the search, and the phase that worked without the guilty."""

    without_guilty: PhaseDocument | None = None

    @property
    def search(self) -> OperatorSearch:
        """What is kept of it."""
        known = {name: value for name, value in (self.model_extra or {}).items()}
        fields = {"status": self.status, "reason": self.reason or "", "seconds": self.duration_s or 0.0}
        return OperatorSearch.model_validate(
            {
                name: value
                for name, value in {**known, **fields}.items()
                if name in OperatorSearch.model_fields
            }
        )


class ReducedStack(Document):
    """The full stack without the guilty operators, judged as Run B is: both phases, against Run A."""

    operators_off: list[str]
    flags: dict[str, str | None] = Field({}, description="Stack variables; null means absent.")
    works: bool = False
    conclusion: str = ""
    detail: str = ""
    agreement: dict[str, Any] | None = None
