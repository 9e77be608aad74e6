"""The two stacks of a release as process environments: base is really base, full is really full.

Belongs here: which variables are set and which must be absent for each stack.
Does not belong here: proof of what really ran (`container_scripts/stack_evidence.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flagrelease_assets.catalog import BaseVariant
from flagrelease_assets.contracts.common import Stack


@dataclass(frozen=True)
class StackEnvironment:
    """The variables of one arm: what is set, and what must not be there at all."""

    stack: Stack
    variables: Mapping[str, str]
    absent: tuple[str, ...] = field(default=())

    @classmethod
    def of_flags(cls, stack: Stack, flags: Mapping[str, str | None]) -> StackEnvironment:
        """Return the environment that a document's flags describe."""
        variables = {name: value for name, value in flags.items() if value is not None}
        return cls(stack, variables, tuple(name for name, value in flags.items() if value is None))

    @property
    def flags(self) -> dict[str, str | None]:
        """The arm's variables for a document; None says that the variable is absent."""
        return {**self.variables, **dict.fromkeys(self.absent)}


def base_environment(
    variant: BaseVariant = "no_plugin", vendor_plugin: str | None = None
) -> StackEnvironment:
    """Return the environment of Run A: FlagGems is off, FlagCX is not there, and only what must be is loaded.

    An empty VLLM_PLUGINS loads no plugin; an absent one would load every installed plugin.
    """
    plugins = {"no_plugin": "", "vendor_plugin": vendor_plugin or "", "fl_without_flaggems": "fl"}
    variables = {"VLLM_PLUGINS": plugins[variant], "USE_FLAGGEMS": "0"}
    return StackEnvironment(Stack.BASE, variables, ("FLAGCX_PATH",))


def arm_environment(*, flaggems: bool, flagcx_path: str | None) -> StackEnvironment:
    """Return the environment of a part of the full stack: the plugin, with FlagGems and FlagCX as asked."""
    variables = {"VLLM_PLUGINS": "fl", "USE_FLAGGEMS": "1" if flaggems else "0"}
    if flagcx_path:
        return StackEnvironment(Stack.FULL, {**variables, "FLAGCX_PATH": flagcx_path})
    return StackEnvironment(Stack.FULL, variables, ("FLAGCX_PATH",))


def full_environment(flagcx_path: str | None, tensor_parallel_size: int) -> StackEnvironment:
    """Return the environment of Run B.

    FlagCX takes part only where it is installed and there is something to communicate with: more than
    one device.
    """
    return arm_environment(flaggems=True, flagcx_path=flagcx_path if tensor_parallel_size > 1 else None)
