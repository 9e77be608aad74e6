"""Same error or not: labelled pairs, and what must not matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.error_identity import normalise, same_error

DATA = Path(__file__).parents[2] / "data"
PAIRS = [json.loads(line) for line in (DATA / "error_pairs.jsonl").read_text("utf-8").splitlines()]
CASES = [json.loads(line)["text"] for line in (DATA / "error_cases.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["id"] for pair in PAIRS])
def test_labelled_pairs_are_told_apart(pair: dict[str, object]) -> None:
    assert same_error(str(pair["a"]), str(pair["b"])) is pair["same"], pair["why"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("worker pid=123 died", "worker pid=456 died"),
        (
            "RuntimeError: port 8000 refused by 10.0.0.1:29500",
            "RuntimeError: port 8013 refused by 10.0.0.7:31111",
        ),
        ("OSError: object at 0x7f00aa11 lost on cuda:0", "OSError: object at 0x7fffbb22 lost on cuda:3"),
        ("ValueError: /tmp/a/b.json is wrong", "ValueError: /data/runs/c/b.json is wrong"),
    ],
)
def test_incidental_values_do_not_matter(a: str, b: str) -> None:
    assert same_error(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("RuntimeError: NPU error, error code is 507035", "RuntimeError: NPU error, error code is 507011"),
        ("ModuleNotFoundError: No module named 'mlir'", "ModuleNotFoundError: No module named 'scipy'"),
        ("ValueError: rejected", "TypeError: rejected"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "NotImplementedError: flag_gems mm failed"),
    ],
)
def test_type_message_and_error_code_matter(a: str, b: str) -> None:
    assert not same_error(a, b)


def test_architecture_in_a_word_is_kept() -> None:
    assert normalise("sm_121a") != normalise("sm_100")


@given(st.one_of(st.text(), st.sampled_from(CASES)))
def test_an_error_is_the_same_as_itself(text: str) -> None:
    assert same_error(text, text)


@given(st.sampled_from(CASES) | st.text(), st.sampled_from(CASES) | st.text())
def test_the_comparison_is_symmetric(a: str, b: str) -> None:
    assert same_error(a, b) is same_error(b, a)


@given(st.text())
def test_normalising_never_raises_and_is_stable(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
