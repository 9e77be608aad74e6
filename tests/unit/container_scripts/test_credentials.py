"""Addresses are printed and stored without their credentials."""

from __future__ import annotations

import sys

import pytest

from container_scripts.credentials import hide_credentials
from container_scripts.document import describe_exception
from container_scripts.pip_runner import KEPT_TAIL, CommandRunner, InstallError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://user:secret@host/simple now", "see https://<redacted>@host/simple now"),
        ("git+https://token@host/a.git", "git+https://<redacted>@host/a.git"),
        ("HTTP://u:p@ss@host:80", "HTTP://<redacted>@host:80"),
        ("socks5://:secret@host", "socks5://<redacted>@host"),
        ("a https://u:p@h b https://v:q@i", "a https://<redacted>@h b https://<redacted>@i"),
        ("https://<redacted>@host", "https://<redacted>@host"),
    ],
)
def test_credentials_of_an_address_are_hidden(text: str, shown: str) -> None:
    assert hide_credentials(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "ssh://user@host",
        "https://host/a@b",
        "https://host?mail=a@b",
        '{"url":"https://host","mail":"a@b"}',
        "https://host and a@b",
    ],
)
def test_an_address_without_credentials_stays_as_it_is(text: str) -> None:
    assert hide_credentials(text) == text


def test_a_failed_installation_names_its_address_without_credentials() -> None:
    runner = CommandRunner(10)
    address = "https://user:secret@host/a"
    with pytest.raises(InstallError, match="check-out of https://<redacted>@host/a failed") as caught:
        runner.require(f"check-out of {address}", [sys.executable, "-c", "import sys; sys.exit(1)", address])
    assert "secret" not in str([runner.attempts, describe_exception(caught.value)])


def test_credentials_at_the_border_of_the_kept_output_are_hidden() -> None:
    rest = "cret@host/" + "x" * (KEPT_TAIL - len("cret@host/"))
    runner = CommandRunner(10)
    runner.run([sys.executable, "-c", f"print('https://user:se' + {rest!r}, end='')"])
    assert "cret" not in runner.attempts[0]["output_tail"]
