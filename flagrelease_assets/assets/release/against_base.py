"""Run A as what every other run of a comparison is held against.

Belongs here: leaving out prompts on which base disagrees with itself, base's side of a judgement.
Does not belong here: the judgement itself (`container_scripts/diff_analysis.py`), finding those prompts
(`comparison.py`).
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flagrelease_assets.assets.release.arms import outputs_of_phase
from flagrelease_assets.contracts import ModelRun
from flagrelease_assets.contracts.common import PhaseName, Status

if TYPE_CHECKING:
    from container_scripts.failure_likeness import Reference


@dataclass(frozen=True)
class AgainstBase:
    """Run A, without the prompts on which base disagrees with itself."""

    run_a: ModelRun
    unstable: Set[str] = frozenset()

    def analyse(self, run: ModelRun) -> dict[str, Any]:
        """Return the analysis of a run against Run A."""
        from container_scripts.diff_analysis import analyse  # brings the judgement of logs with it

        analysis = analyse(self._stable(self.run_a), self._stable(run))
        if self.unstable:
            names = ", ".join(sorted(self.unstable))
            left_out = f"not counted, because base disagrees with itself there: {names}"
            analysis["reasons"] = [*analysis["reasons"], left_out]
            if analysis["status"] == Status.PASS:  # what could not be compared is not proven
                analysis["status"] = Status.PARTIAL
        return analysis

    def reference(self, phase: PhaseName) -> Reference:
        """Return what base did in a phase, for runs of that phase to be held against."""
        from container_scripts.failure_likeness import Reference

        document = self.run_a.phase(phase)
        if document is None:
            return Reference([])
        stable = [one for one in outputs_of_phase(document) if one.get("prompt_id") not in self.unstable]
        return Reference(stable, document.execution)

    def _stable(self, run: ModelRun) -> dict[str, Any]:
        document = run.model_dump(mode="json")
        for phase, key in (("phase_a_offline", "outputs"), ("phase_b_serve", "requests")):
            if self.unstable and document[phase]:
                outputs = document[phase][key]
                document[phase][key] = [one for one in outputs if one.get("prompt_id") not in self.unstable]
        return document
