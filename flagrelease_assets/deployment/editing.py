"""Changing the deployment file for its owner: only what was asked for, everything else to the letter.

Belongs here: adding an entry. Does not belong here: reading the file (`file.py`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from flagrelease_assets.deployment.file import DeploymentError, load_deployment
from flagrelease_assets.deployment.models import ModelEntry

_MODELS = re.compile(r"^models:[ \t]*(\[\s*\])?[ \t]*(#.*)?$", re.MULTILINE)


def add_model_entry(file: Path, model_id: str, source: str) -> ModelEntry:
    """Write a new entry below `models:` of a deployment file and return it.

    The file is written only if it can still be read with the entry in it.
    Raises DeploymentError for an id or source that is none, and for a file that must be edited by hand.
    """
    try:
        entry = ModelEntry.model_validate({"id": model_id, "source": source})
    except ValidationError as error:
        raise DeploymentError(f"{model_id}: {error.errors()[0]['msg']}") from error
    fields: dict[str, Any] = {"id": entry.id, **({"source": source} if source != "huggingface" else {})}
    line = f"  - {yaml.safe_dump(fields, default_flow_style=True, width=1000).strip()}"
    before = file.read_text(encoding="utf-8")
    found = _MODELS.search(before)
    if found:
        after = f"{before[: found.start()]}models:\n{line}{before[found.end() :]}"
    elif re.search(r"^models:", before, re.MULTILINE):
        raise DeploymentError(
            f"{file}: `models:` is not a list with a line for each entry: add `{line.strip()}`"
        )
    else:
        after = f"{before.rstrip()}\n\nmodels:\n{line}\n"
    trial = file.with_name(f".{file.name}.new")
    try:
        trial.write_text(after, encoding="utf-8")
        load_deployment(trial)
        trial.replace(file)
    finally:
        trial.unlink(missing_ok=True)
    return entry
