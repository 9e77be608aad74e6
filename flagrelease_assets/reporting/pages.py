"""Self-contained HTML pages: templates with every value escaped, one style, no access to the network.

Belongs here: how a page is put together.
Does not belong here: what a page says (html, board).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flagrelease_assets.reporting import text

_PACKAGE = "flagrelease_assets.reporting"
_KNOWN_STATUSES = frozenset({"PASS", "PARTIAL", "FAIL", "SKIPPED", "BLOCKED", "MISSING", "UNTESTED"})
_AS_FAILED = frozenset({"TIMEOUT"})


def render_page(template: str, script: str, values: Mapping[str, Any]) -> str:
    """Render a page of the package's templates.

    ``script`` names the only JavaScript that the page's security policy lets run; it is set inline.
    """
    source = _resource(script)
    return (
        _environment()
        .get_template(template)
        .render(
            values,
            style=Markup(_resource("style.css")),
            script=Markup(source),
            script_hash=base64.b64encode(hashlib.sha256(source.encode()).digest()).decode(),
        )
    )


def status_kind(status: str) -> str:
    """Return the style of a status: its own where there is one, otherwise `missing`."""
    word = status.upper()
    if word in _AS_FAILED:
        return "fail"
    return word.lower() if word in _KNOWN_STATUSES else "missing"


@cache
def _resource(name: str) -> str:
    """Return a text file of the templates' folder, as trusted as code."""
    return (files(_PACKAGE) / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    environment.filters.update(
        age=text.age,
        clip=text.clip,
        clip_start=text.clip_start,
        duration=text.duration,
        milliseconds=text.milliseconds,
        moment=text.moment,
        number=text.number,
        stack_words=text.stack_words,
        status_kind=status_kind,
    )
    return environment


def _harmless(value: Any) -> Any:
    """Clean every value that a template shows; markup made by the templates themselves stays as it is."""
    return text.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
