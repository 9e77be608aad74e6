"""The two stacks of a release as process environments: base is really base, full is really full.

Belongs here: which variables are set and which must be absent for each stack.
Does not belong here: proof of what really ran (`container_scripts/stack_evidence.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flagrelease_assets.contracts.common import Stack


@dataclass(frozen=True)
class StackEnvironment:
    """The variables of one arm: what is set, and what must not be there at all."""

    stack: Stack
    variables: Mapping[str, str]
    absent: tuple[str, ...] = field(default=())

    @property
    def flags(self) -> dict[str, str | None]:
        """The arm's variables for a document; None says that the variable is absent."""
        return {**self.variables, **dict.fromkeys(self.absent)}


def base_environment() -> StackEnvironment:
    """Return the environment of Run A: no plugin is loaded, FlagGems is off, FlagCX is not there.

    An empty VLLM_PLUGINS loads no plugin; an absent one would load every installed plugin.
    """
    return StackEnvironment(Stack.BASE, {"VLLM_PLUGINS": "", "USE_FLAGGEMS": "0"}, ("FLAGCX_PATH",))


def full_environment(flagcx_path: str | None, tensor_parallel_size: int) -> StackEnvironment:
    """Return the environment of Run B.

    FlagCX takes part only where it is installed and there is something to communicate with: more than
    one device.
    """
    variables = {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1"}
    if flagcx_path and tensor_parallel_size > 1:
        return StackEnvironment(Stack.FULL, {**variables, "FLAGCX_PATH": flagcx_path})
    return StackEnvironment(Stack.FULL, variables, ("FLAGCX_PATH",))
