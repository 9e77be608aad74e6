"""The fixed prompts of the probes: read, checked, and the same in every run.

Belongs here: the shape of a prompt and reading a prompts file (``prompts.json`` by default).
Does not belong here: sending a prompt anywhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Optional, Tuple

DEFAULT_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prompts.json")
KINDS = ("completion", "chat")


@dataclass(frozen=True)
class Prompt:
    """One prompt: raw text to be continued, or one user message of a chat; anchors are accepted answers."""

    id: str
    kind: str
    text: str
    anchors: Tuple[str, ...] = ()


def read_prompts(path: Optional[str] = None) -> Tuple[Prompt, ...]:
    """Read a prompts file.

    Raises ValueError, naming the file, if it holds no prompt, an unknown kind or the same id twice.
    """
    path = path or DEFAULT_FILE
    with open(path, encoding="utf-8") as handle:
        prompts = tuple(_prompt(entry, path) for entry in json.load(handle))
    if not prompts:
        raise ValueError(f"{path} holds no prompt")
    if len({prompt.id for prompt in prompts}) != len(prompts):
        raise ValueError(f"{path} uses a prompt id twice")
    return prompts


def _prompt(entry: Any, path: str) -> Prompt:
    try:
        kind, text = entry["kind"], entry["prompt"]
        prompt = Prompt(str(entry["id"]), kind, text, tuple(entry.get("anchors", ())))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: a prompt needs id, kind and prompt, got {entry!r}") from error
    if kind not in KINDS or not text:
        raise ValueError(f"{path}: prompt {prompt.id} needs text and a kind out of {', '.join(KINDS)}")
    return prompt
