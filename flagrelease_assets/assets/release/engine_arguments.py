"""One list of `vllm serve` arguments, used as it is for serving and as keywords for the offline engine.

Belongs here: the translation of an argv list to KEY=VALUE assignments.
Does not belong here: which arguments a run has (`phases.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from flagrelease_assets.deployment import DeploymentError

# Flags of `vllm serve` that concern the HTTP server; the offline engine does not know them.
SERVER_ONLY = frozenset(
    {"--host", "--port", "--api-key", "--served-model-name", "--chat-template", "--disable-log-requests"}
)


def as_assignments(arguments: Sequence[str]) -> list[str]:
    """Return `--flag value` pairs as `flag=value` for the offline engine; a lone flag becomes `flag=true`.

    Raises DeploymentError for a word that belongs to no flag.
    """
    assignments: list[str] = []
    words = list(arguments)
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if not flag.startswith("--"):
            raise DeploymentError(
                f"vLLM argument {flag!r} belongs to no --flag: correct the worker's `serve_args` or the "
                "model's `vllm_args` in the deployment file"
            )
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        if flag not in SERVER_ONLY:
            assignments.append(f"{flag[2:].replace('-', '_')}={value}")
    return assignments
