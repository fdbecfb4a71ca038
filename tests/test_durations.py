"""Durations: what is read, what is refused, and the short form for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.durations import format_ms, parse_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("5s", 5000),
        ("1m30s", 90_000),
        ("250ms", 250),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("0s", 0),
        ("1d2h3m4s5ms", 93_784_005),
    ],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    assert parse_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "5", "1.5h", "-1s", "30s1m", "5s5s", "1 m", "5S", "1w", "s", "5s\n", "٣s", "9" * 400 + "s"]
)
def test_other_texts_are_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_ms(text)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        *((0, "0ms"), (340, "340ms"), (1000, "1s"), (2400, "2.4s"), (2999, "2.9s"), (45_900, "45s"), (90_000, "1m30s")),
        *((7_200_000, "2h"), (7_500_000, "2h5m"), (86_400_000, "1d"), (90_061_000, "1d1h"), (-1500, "-1.5s")),
    ],
)
def test_the_form_for_people(milliseconds: int, text: str) -> None:
    assert format_ms(milliseconds) == text


@given(st.integers(10_000, 10**11))
def test_the_form_for_people_never_says_more_than_there_is(milliseconds: int) -> None:
    assert 0 <= milliseconds - parse_ms(format_ms(milliseconds)) < 3_600_000
