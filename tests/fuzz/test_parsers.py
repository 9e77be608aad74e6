"""No input makes a parser raise anything but what it documents, whatever its spelling, size or depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

WORDS = (
    *(
        "run_token",
        "token",
        "status",
        "PASS",
        "FAIL",
        "phases",
        "outputs",
        "prompt_id",
        "token_ids",
        "logprobs",
    ),
    *(
        "text",
        "top2_gap",
        "kind",
        "error",
        "traceback",
        "stack_observed",
        "versions",
        "checks",
        "phase",
        "ok",
    ),
    *("sha", "siblings", "rfilename", "size", "config.json", "id", "lastModified", "safetensors", "total"),
    *(
        "Code",
        "Success",
        "Data",
        "Files",
        "Path",
        "Type",
        "Size",
        "Revision",
        "CommittedDate",
        "LatestCommitter",
    ),
    *(
        "workers",
        "cpu",
        "kind",
        "local",
        "models",
        "source",
        "folder",
        "path",
        "results",
        "waivers",
        "checks",
    ),
    *(
        "boot_id",
        "since_boot_s",
        "run_id",
        "devices",
        "version",
        "rows",
        "models",
        "weight_map",
        "__metadata__",
    ),
    *("data_offsets", "architectures", "text_config", "hidden_size", "packages", "vendors", "overrides"),
)
"""Keys and values that the parsers look for, so that random documents get past their first look."""

LEAVES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**19, -(10**19), 2**63, 10**400, 1e308, float("nan"), float("inf"), -0.0])
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
DOCUMENTS = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8)
CONTENT = (
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | DOCUMENTS.map(lambda value: json.dumps(value).encode())
    | DOCUMENTS.map(lambda value: json.dumps(value).encode()[:-3])
    | DOCUMENTS.map(lambda value: yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))
)
DEEP = 50_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=CONTENT)
@example(b"")
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf{}")
@example(b"[" * DEEP)
@example(b"[" * DEEP + b"]" * DEEP)
@example(b'{"a":' * DEEP)
@example(b'{"config": ' + b"[" * 900 + b"]" * 900 + b"}")
@example(b'{"run_token": "token", "phases": ' + b"[" * 150 + b"]" * 150 + b"}")
@example(b"9" * 10_000)
@example(b'{"size": ' + b"9" * 10_000 + b"}")
@example(b'"' + b"\\" * 10_001)
@example(b"\0" * 5_000)
@example(b"a: &a [*a]")
@example(b"- " * 5_000)
def test_a_parser_raises_nothing_but_what_it_documents(target: Target, content: bytes) -> None:
    target(content)
