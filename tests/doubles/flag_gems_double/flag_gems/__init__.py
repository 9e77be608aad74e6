"""FlagGems' registration without any operator: 40 names, so that a search has something to search.

Faithful in: enable() registers, all_registered_ops() tells (a function registered twice is there twice).
Not faithful in: nothing of torch is replaced; the vLLM double reads the plugin's variable itself.
"""

OPERATORS = [f"operator_{number:02}" for number in range(38)] + ["mul", "rms_norm"]
_registered: list[str] = []


def enable() -> None:
    """Register every operator."""
    _registered.extend([*OPERATORS, "mul"])


def all_registered_ops() -> list[str]:
    """Return what was registered."""
    return list(_registered)
