"""Every secret is replaced, in whatever form it shows up, and nothing else is."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flagrelease_assets.redaction import REDACTED, Redactor, looks_secret

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=8)
TEXTS = st.text(max_size=30)


@given(SECRETS, TEXTS, TEXTS)
def test_no_spelling_of_a_secret_is_left(secret: str, before: str, after: str) -> None:
    assume(secret not in REDACTED)
    spellings = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret, safe="")]
    redactor = Redactor([secret])
    for spelling in spellings:
        text = redactor.text(before + spelling + after)
        assert REDACTED in text
        assert spelling not in text.replace(REDACTED, "")
    nested = redactor.values({secret: [{"a": secret, "n": 1.5, "none": None}]})
    assert nested == {REDACTED: [{"a": REDACTED, "n": 1.5, "none": None}]}


def test_a_secret_that_contains_another_leaves_no_rest() -> None:
    assert Redactor(["secret-1", "secret-1-extended"]).text("secret-1-extended") == REDACTED


def test_every_line_of_a_secret_is_one_because_logs_come_by_lines() -> None:
    assert Redactor(["key-1\nkey-2\n"]).text("key-2") == REDACTED


@pytest.mark.parametrize("value", ["", "1", "abc", "none", "network"])
def test_a_placeholder_does_not_blot_out_ordinary_words(value: str) -> None:
    assert Redactor([value]).text("none of 1100 abc on the network") == "none of 1100 abc on the network"


@pytest.mark.parametrize("value", ["a1b2", "1234", "abcdefgh"])
def test_a_value_that_can_be_a_secret_is_replaced_however_short(value: str) -> None:
    assert Redactor([value]).text(f"={value};") == f"={REDACTED};"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("aws_secret_access_key", True),
        ("VLLM_API_KEY", True),
        ("DB_PASSWORD_2", True),
        ("MAX_TOKENS", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("SECRETARY", False),
        ("CUDA_VISIBLE_DEVICES", False),
    ],
)
def test_names_of_secrets_are_told_by_whole_words(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret
