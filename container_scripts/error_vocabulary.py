"""The words of error judgement: components, strengths, and what one signature is.

Belongs here: the vocabulary that every table of signatures shares.
Does not belong here: the signatures themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Pattern

FLAGGEMS, FLAGTREE, FLAGCX, PLUGIN = "FlagGems", "FlagTree", "FlagCX", "vllm-plugin-FL"
MULTICHIP_COMPONENTS = frozenset({FLAGGEMS, FLAGTREE, FLAGCX, PLUGIN})
VLLM, TORCH, MEMORY, NETWORK, MODEL, USER, UNKNOWN = (
    "vLLM", "torch", "memory", "network", "model", "user", "unknown",
)  # fmt: skip

OVERRIDE, SPECIFIC, WEAK = 3, 2, 1


@dataclass(frozen=True)
class Signature:
    """One recognisable wording.

    ``component`` "" leaves the choice to the frames. ``strength``: OVERRIDE beats frames, SPECIFIC
    speaks where no frame does, WEAK is a symptom that anything else beats. ``quiet`` signatures
    count even in lines below level error.
    """

    category: str
    layer: str
    component: str
    pattern: Pattern[str]
    fatal: bool = False
    strength: int = SPECIFIC
    quiet: bool = False


def rows(
    category: str,
    layer: str,
    component: str,
    *patterns: str,
    fatal: bool = False,
    strength: int = SPECIFIC,
    quiet: bool = False,
) -> List[Signature]:
    """Return one signature per pattern; patterns ignore case."""
    compiled = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
    return [Signature(category, layer, component, one, fatal, strength, quiet) for one in compiled]
