"""Log lines arrive whole, once, and without secrets, however the bytes were cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.redaction import REDACTED, Redactor
from flagrelease_assets.workers.log_lines import MAX_LINE_CHARACTERS, LogLines


def _all(lines: LogLines, data: bytes, cuts: list[int]) -> list[str]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found: list[str] = []
    for start, end in pairwise(borders):
        found += lines.feed(data[start:end])
    return found + lines.finish()


@given(
    st.text(alphabet=st.characters(exclude_characters="\r", codec="utf-8")), st.lists(st.integers(0, 10**6))
)
def test_cuts_in_the_middle_of_characters_and_lines_change_nothing(text: str, cuts: list[int]) -> None:
    expected = text.split("\n")
    if not expected[-1]:
        expected.pop()
    assert _all(LogLines(Redactor()), text.encode(), cuts) == expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 10**6)))
def test_bytes_that_are_not_utf8_are_replaced_alike_however_they_were_cut(
    data: bytes, cuts: list[int]
) -> None:
    assert _all(LogLines(Redactor()), data, cuts) == _all(LogLines(Redactor()), data, [])


def test_only_newlines_end_lines() -> None:
    assert LogLines(Redactor()).feed("a\u2028b\x0bc\rd\r\n".encode()) == ["a\u2028b\x0bc\rd"]


def test_last_line_without_newline_comes_at_the_end_and_only_once() -> None:
    lines = LogLines(Redactor())
    assert lines.feed(b"last words") == []
    assert lines.finish() == ["last words"]
    assert lines.finish() == []


def test_log_without_newlines_does_not_fill_the_memory() -> None:
    lines = LogLines(Redactor())
    pieces = [piece for _ in range(5) for piece in lines.feed(b"x" * MAX_LINE_CHARACTERS)] + lines.finish()
    assert sum(map(len, pieces)) == 5 * MAX_LINE_CHARACTERS
    assert max(map(len, pieces)) == MAX_LINE_CHARACTERS


def test_secret_cut_in_two_by_a_chunk_is_redacted() -> None:
    lines = LogLines(Redactor(["hf_secret_token", ""]))
    assert lines.feed(b"token=hf_sec") + lines.feed(b"ret_token.\n") == [f"token={REDACTED}."]
