"""Redaction: no secret survives in any form, pieces equal the whole, and readers cannot be fooled."""

from __future__ import annotations

import base64
import html
import itertools
import json
import threading
from urllib.parse import quote, quote_plus

import markupsafe
from hypothesis import assume, given
from hypothesis import strategies as st

from shipway.redaction import MASK, Redactor, strip_control, trusted

SECRET = "s3cr3t/+value=&more"

VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters="*", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")),
    min_size=8,
    max_size=60,
).filter(lambda value: len(value.strip()) >= 8)
TEXTS = st.text(st.sampled_from('abAB01 \n\t{}\\"/=+-_%é\x1b[31m\u200b\x9b'), max_size=80)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def streamed(redactor: Redactor, parts: list[str]) -> str:
    stream = redactor.stream()
    return "".join([*(stream.feed(part) for part in parts), stream.flush()])


@given(VALUES, TEXTS, TEXTS)
def test_g054_no_secret_survives_in_any_form(value: str, before: str, after: str) -> None:
    bare = value.strip()
    redactor = Redactor({"TOKEN": value})
    assume(bare not in before + after)
    forms = [
        bare,
        quote(bare, safe=""),
        quote(bare),
        quote_plus(bare),
        json.dumps(bare)[1:-1],
        json.dumps(bare, ensure_ascii=False)[1:-1],
        base64.b64encode(bare.encode()).decode(),
        base64.urlsafe_b64encode(bare.encode()).decode(),
        bare.encode().hex(),
        bare.encode().hex().upper(),
        html.escape(bare),
        html.escape(bare, quote=False),
        str(markupsafe.escape(bare)),
        bare.replace("'", "'\\''"),
        bare.replace("'", "'\"'\"'"),
    ]
    for form in forms:
        shown = redactor.redact(f"{before} {form} {after}")
        assert form not in shown
        assert MASK in shown


@given(VALUES, st.binary(max_size=7), st.binary(max_size=7))
def test_g054_base64_of_a_text_that_contains_the_secret_is_masked(value: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + value.strip().encode() + after).decode()
    shown = Redactor({"TOKEN": value}).redact(encoded)
    assert MASK in shown
    # What stays are the digits that hold bits of other bytes, so at most 6 bits of the secret on each side.
    kept_bytes = len(before) + len(after)
    assert len(shown.replace(MASK, "")) <= kept_bytes * 2 + 8


def test_g054_each_line_of_a_long_secret_is_masked_by_itself() -> None:
    key = "-----BEGIN KEY-----\r\nMIIEvQIBADANBg\r\nqhkiG9w0BAQEFAAS\r\n-----END KEY-----\r\n"
    redactor = Redactor({"KEY": key})
    shown = redactor.redact("indented:\n    MIIEvQIBADANBg\n    qhkiG9w0BAQEFAAS\n" + json.dumps(key))
    assert "MIIE" not in shown
    assert "qhki" not in shown


def test_g054_masked_places_are_counted_over_threads() -> None:
    redactor = Redactor({"TOKEN": SECRET})
    threads = [
        threading.Thread(target=lambda: [redactor.redact(f"{SECRET} and {SECRET}") for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redactor.count == 1600


def test_g054_the_longest_secret_wins_where_one_begins_another() -> None:
    redactor = Redactor({"SHORT": "abcd", "LONG": "abcdefghijklmnop", "MIDDLE": "abcdefghi"})
    assert redactor.redact("abcdefghijklmnop abcdefghij abcdx") == "*** ***j ***x"


def test_g055_a_short_secret_is_named_and_shreds_no_text() -> None:
    redactor = Redactor({"PIN": "abc", "EMPTY": "", "BLANK": "     ", "TOKEN": SECRET})
    assert redactor.redact("abc abcabc     is shown") == "abc abcabc     is shown"
    assert redactor.too_short == ("PIN",)


def test_lines_of_a_secret_that_are_too_short_shred_no_text() -> None:
    redactor = Redactor({"JSON": '{\n "a":\n "longer value"\n}'})
    assert redactor.redact("if (x) { y } a") == "if (x) { y } a"
    assert redactor.redact('x "longer value" y') == "x *** y"


def test_a_secret_learnt_later_is_masked_in_streams_that_are_open() -> None:
    redactor = Redactor({})
    stream = redactor.stream()
    assert stream.feed("new-secret-1 ") == "new-secret-1 "
    redactor.add("OUTPUT", "new-secret-1")
    assert stream.feed("new-sec") == ""
    assert stream.feed("ret-1 ") == "*** "


@given(st.lists(VALUES, max_size=3), TEXTS, TEXTS, st.lists(st.integers(0, 300), max_size=8))
def test_g054_pieces_equal_the_whole(values: list[str], before: str, after: str, cuts: list[int]) -> None:
    secrets = {f"S{index}": value for index, value in enumerate(values)}
    text = before + "".join(value + json.dumps(value) + after for value in values)
    whole = Redactor(secrets)
    in_pieces = Redactor(secrets)
    assert streamed(in_pieces, pieces(text, cuts)) == whole.clean(text)
    assert in_pieces.count == whole.count


@given(
    st.lists(st.text("ab", min_size=4, max_size=9), max_size=4),
    st.text("ab\x1b[", max_size=40),
    st.lists(st.integers(0, 40)),
)
def test_pieces_equal_the_whole_where_secrets_overlap(values: list[str], text: str, cuts: list[int]) -> None:
    secrets = {f"S{index}": value for index, value in enumerate(values)}
    assert streamed(Redactor(secrets), pieces(text, cuts)) == Redactor(secrets).clean(text)


def test_a_stream_holds_back_only_what_could_become_a_secret() -> None:
    stream = Redactor({"TOKEN": SECRET}).stream()
    assert stream.feed("waiting for the database\n") == "waiting for the database\n"
    assert stream.feed(f"token {SECRET}") == "token ***"
    assert stream.feed("token s3cr3t") == "token "
    assert stream.feed("ly not ") == "s3cr3tly not "
    for _ in range(1000):
        stream.feed("s3cr3t/" * 100)
    assert len(stream._text) < 200


def test_an_unfinished_sequence_is_held_back_only_so_far() -> None:
    stream = Redactor({}).stream()
    for _ in range(100):
        stream.feed("\x1b]0;" + "x" * 1000)
    assert len(stream._raw) <= 4096


def test_invisible_characters_do_not_hide_a_secret() -> None:
    assert Redactor({"TOKEN": SECRET}).clean(f"a {SECRET[:5]}\u200b\x1b[1m{SECRET[5:]} b") == "a *** b"


def test_control_characters_sequences_bidi_and_zero_width_are_removed() -> None:
    text = "a\x1b[31;1mb\x1b[0m\x1b]8;;http://x\x07c\x1b]0;t\x1b\\d\x1bPq\x1b\\e\x9b1mf\x00\x08\rg\u202eh\u2066i\u200dj\ufeffk\tl\nm"
    assert strip_control(text) == "abcdefghijk\tl\nm"


def test_an_unfinished_sequence_swallows_no_further_line() -> None:
    assert strip_control("\x1b]0;title\nnext line\x1b[12") == "\nnext line"


@given(st.text())
def test_nothing_is_left_to_strip(text: str) -> None:
    once = strip_control(text)
    assert strip_control(once) == once
    assert "\x1b" not in once


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs"), include_characters="\n\t"), max_size=100))
def test_plain_text_is_left_alone(text: str) -> None:
    assert strip_control(text) == text
    assert Redactor({}).clean(text) == trusted(text)


@given(
    st.text(
        st.characters(codec="ascii", exclude_categories=("Cc", "Zs"), exclude_characters="*"), min_size=40, max_size=200
    ),
    st.sampled_from([20, 64, 76]),
    st.sampled_from(["", "    ", "\t"]),
    st.lists(st.integers(0, 600), max_size=6),
)
def test_g054_a_secret_that_is_broken_into_lines_is_masked(
    value: str, width: int, indent: str, cuts: list[int]
) -> None:
    for form in (value, base64.b64encode(value.encode()).decode(), value.encode().hex()):
        text = "data:\n" + "\n".join(indent + form[at : at + width] for at in range(0, len(form), width)) + "\nend"
        redactor = Redactor({"TOKEN": value})
        shown = redactor.clean(text)
        assert form[: width // 2] not in shown
        assert form[width : width + 12] not in shown.removesuffix("\nend") or len(form) <= width + 4
        assert shown.startswith("data:\n")
        assert streamed(Redactor({"TOKEN": value}), pieces(text, cuts)) == shown


def test_lines_that_only_begin_like_a_secret_are_shown_as_they_are() -> None:
    stream = Redactor({"TOKEN": "abcdefghijklmnopqrstuvwxyz0123456789"}).stream()
    lines = ["abcdefghijklmnopqrst\n", "something else\n", "abcdefghij\n", "klm\n"]
    assert "".join([*map(stream.feed, lines), stream.flush()]) == "".join(lines)
