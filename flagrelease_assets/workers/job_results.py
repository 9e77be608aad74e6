"""The result document of a job: whole, and of this very run, or named as what it is.

Belongs here: reading a result back, and saying what is wrong with one that cannot be used.
Does not belong here: what a result says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flagrelease_assets.strict_reading import RefusedDocumentError, parse_json
from flagrelease_assets.workers.job_models import ResultProblem


@dataclass(frozen=True)
class JobResult:
    """A result document, or the reason for having none."""

    document: Mapping[str, Any] | None = None
    problem: ResultProblem | None = None
    detail: str | None = None


def parse_result(text: str, run_token: str) -> JobResult:
    """Return the document in ``text`` if it is one JSON object with this ``run_token``."""
    try:
        document = parse_json(text)
    except json.JSONDecodeError as error:
        return JobResult(problem="truncated" if _breaks_off(text, error) else "not_json", detail=str(error))
    except RefusedDocumentError as error:
        return JobResult(problem="not_json", detail=str(error))
    if not isinstance(document, dict):
        return JobResult(problem="not_json", detail=f"a JSON {type(document).__name__}, not an object")
    if document.get("run_token") != run_token:
        return JobResult(problem="wrong_run", detail=f"run_token is {document.get('run_token')!r}")
    return JobResult(document=document)


def _breaks_off(text: str, error: json.JSONDecodeError) -> bool:
    """Tell a document that stops too early from one that never was JSON."""
    content = text.strip()
    if error.msg.startswith("Extra data"):
        return False
    inside_string = error.msg.startswith("Unterminated string")
    at_end = inside_string or not content.endswith("}") or error.pos >= len(text.rstrip())
    return not content or (content.startswith("{") and at_end)
