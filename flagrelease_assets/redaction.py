"""The one way in which secrets are kept out of logs, documents and reports.

Belongs here: which values are replaced and how, and which variable names announce a secret.
Does not belong here: where secrets come from (`deployment.py`), where texts go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from container_scripts.credentials import REDACTED, hide_credentials

__all__ = ["REDACTED", "Redactor", "looks_secret"]

MIN_SECRET_CHARACTERS = 4
"""A shorter value is no secret that could be kept: replacing it would blot out ordinary text."""

MIN_WORD_LETTERS = 8
"""Fewer letters and nothing else are a placeholder (`none`, `dummy`), and may be a word of a document."""

_SECRET_NAME = re.compile(
    r"(?<![A-Z0-9])(?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY|CREDENTIAL)(?![A-Z0-9])", re.IGNORECASE
)


def looks_secret(name: str) -> bool:
    """Whether the name of a variable announces a secret: HF_TOKEN does, MAX_TOKENS does not."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Replaces every secret, also as JSON and URLs spell it, and the credentials of every address."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        spellings = {spelling for line in lines if _is_worth_hiding(line) for spelling in _spellings(line)}
        self._spellings = sorted(spellings, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, REDACTED)
        return hide_credentials(text)

    def values(self, value: Any) -> Any:
        """Return a JSON-like value with no secret in any text or key of it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.values(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.values(item) for item in value]
        return value


def _is_worth_hiding(value: str) -> bool:
    return len(value) >= (MIN_WORD_LETTERS if value.isalpha() else MIN_SECRET_CHARACTERS)


def _spellings(value: str) -> set[str]:
    as_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {value, *as_json, quote(value, safe="", errors="surrogateescape")}
