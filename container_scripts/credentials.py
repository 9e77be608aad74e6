"""Hide the user names, passwords and tokens that addresses carry.

Belongs here: what of an address is a credential.
Does not belong here: secrets that are no part of an address (flagrelease_assets/redaction.py).
"""

from __future__ import annotations

import re

REDACTED = "<redacted>"

# Over HTTP a user name alone may be a token; elsewhere (ssh://user@host) it is none without a password.
_CREDENTIALS = re.compile(
    r"""(?<=https://)[^/?#\s"'<>]+@ | (?<=http://)[^/?#\s"'<>]+@ | (?<=://)[^:/?#\s"'<>]*:[^/?#\s"'<>]+@""",
    re.IGNORECASE | re.VERBOSE,
)


def hide_credentials(text: str) -> str:
    """Return ``text`` with the credentials of every address replaced."""
    return _CREDENTIALS.sub(f"{REDACTED}@", text)
