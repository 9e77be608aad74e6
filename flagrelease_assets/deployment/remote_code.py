"""Code from a model's folder runs for the models whose entries say so, and gets in by no other way.

Belongs here: which engine arguments would trust it. Does not belong here: the entry (`models.py`).
"""

from __future__ import annotations

from collections.abc import Sequence


def refuse_trust_in(arguments: Sequence[str]) -> None:
    """Raise ValueError if an engine argument trusts remote code, however vLLM lets it be spelled.

    vLLM takes `_` for `-`, `--flag=value`, and the beginning of a flag for the whole.
    """
    for argument in arguments:
        words = argument.replace("_", "-").lower()
        flag = words.partition("=")[0]
        if flag.startswith("--trust") or "trust-remote-code" in words or flag == "--config":
            raise ValueError(
                f"{argument!r} could run a model's code: set `trust_remote_code: true` in the entry of the "
                "model that needs it, and give other arguments one by one"
            )
