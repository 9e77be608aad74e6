from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagrelease_assets.reporting import text

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (0.42, "0.42 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (200_000, "2 d 7 h"),
        (float("nan"), "not finite"),
    ],
)
def test_durations_carry_over_instead_of_saying_sixty(seconds: float | None, expected: str) -> None:
    assert text.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[
            (None, "–"),
            (0.0, "0"),
            (0.004217, "0.00422"),
            (8.1, "8.10"),
            (412.46, "412"),
            (12345.6, "12,346"),
        ],
        *[(500, "500"), (float("inf"), "not finite")],
    ],
)
def test_numbers_keep_three_digits_and_never_hide_what_is_not_finite(
    value: float | None, expected: str
) -> None:
    assert text.number(value) == expected


def test_sizes_are_in_binary_units_and_say_so() -> None:
    assert [text.byte_size(size) for size in (None, 0, 1023, 1024, 15_231_271_888)] == [
        *["–", "0 B", "1023 B"],
        *["1.00 KiB", "14.2 GiB"],
    ]


def test_latencies_turn_to_seconds_where_milliseconds_are_hard_to_read() -> None:
    assert (text.milliseconds(1190.0), text.milliseconds(19770.0)) == ("1,190 ms", "19.8 s")


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(days=2), "2 d ago"),
        (timedelta(minutes=-5), "dated in the future"),
    ],
)
def test_age_says_when_a_clock_is_ahead(ago: timedelta, expected: str) -> None:
    assert text.age(NOW - ago, NOW) == expected


def test_age_takes_a_time_without_zone_as_utc() -> None:
    assert text.age(datetime(2026, 3, 14, 10), NOW) == "2 h ago"


def test_plain_text_cannot_steer_a_terminal_or_turn_the_reading_direction() -> None:
    hostile = (
        "\x1b[31mred\x1b[0m\x1b]8;;file:///x\x07link\x1b]8;;\x07\x08\u202eevil\u2066\r\nnext\rlast\x9b2J"
    )
    assert text.plain(hostile) == "redlinkevil\nnext\nlast2J"


@given(st.text())
def test_plain_text_can_always_be_stored_and_has_no_control_characters(value: str) -> None:
    harmless = text.plain(value)
    harmless.encode("utf-8")
    assert all(ord(character) >= 32 or character in "\n\t" for character in harmless)
    assert text.plain(harmless) == harmless


def test_clipped_text_says_how_much_is_left_out() -> None:
    assert text.clip("x" * 1200, 100) == "x" * 100 + " … (1,100 more characters)"
    assert text.clip_start("abcdef", 2) == "(4 characters before) … ef"
    assert text.clip("short", 100) == text.clip_start("short", 100) == "short"


def test_nested_values_stay_readable() -> None:
    assert text.value_text({"a": [1]}) == '{"a": [1]}'
    assert text.value_text(["fl", "x"]) == "fl, x"
    assert list(map(text.value_text, (None, True, "", []))) == ["–", "yes", "(empty)", "none"]
