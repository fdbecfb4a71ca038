"""Problems as text: the caret stands under what is meant, whatever the line holds."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import DeclarationError, Position, Problem, UsageError, VerificationError
from shipway.render.columns import width as cells
from shipway.render.problems import render_problems


def _rendered(line: str, column: int, width: int = 1, hint: str = "") -> list[str]:
    problem = Problem("wrong", Position("f.yml", 3, column, width), line, hint)
    return render_problems(DeclarationError("failed", problems=[problem])).splitlines()


def test_a_problem_and_the_closing_line() -> None:
    problem = Problem("unknown key `x`", Position("f.yml", 16, 3, 1), "  x: 1", "remove it")
    error = DeclarationError(
        "load failed with 1 problem; nothing was planned", problems=[problem], next="see docs/x.md"
    )
    assert render_problems(error) == (
        "f.yml:16:3: unknown key `x`\n"
        "    16 |   x: 1\n"
        "       |   ^ remove it\n"
        "load failed with 1 problem; nothing was planned. See docs/x.md\n"
    )


def test_an_error_without_problems_says_what_and_what_next() -> None:
    assert render_problems(UsageError("no such target", next="name another")) == "no such target. Name another\n"


def test_what_a_message_lists_stands_on_lines_of_its_own() -> None:
    error = VerificationError("they differ:\n  a/x: run\n  a/y: \x1b", next="plan anew")
    assert render_problems(error) == "they differ:\n  a/x: run\n  a/y: \\x1b\nplan anew\n"


def test_an_error_with_its_own_place() -> None:
    error = UsageError("bad", where=Position("f.yml", 1, 2, 2), line="abc", next="mend it")
    assert render_problems(error) == "f.yml:1:2: bad\n     1 | abc\n       |  ^^\nmend it\n"


def test_wide_characters_take_two_columns() -> None:
    assert _rendered("日本: x", 5)[2] == "       | " + " " * 6 + "^"


def test_combining_characters_take_none() -> None:
    assert _rendered("e\u0301: x", 5)[2] == "       |    ^"


def test_what_would_move_or_hide_the_text_is_shown_escaped() -> None:
    head, line, caret = _rendered("a\u202e\x1b[31m\u200b: x", 1, 2)[:3]
    assert line == "     3 | a\\u202e\\x1b[31m\\u200b: x"
    assert caret == "       | " + "^" * 7
    assert "\x1b" not in head


def test_controls_in_the_message_itself_are_escaped() -> None:
    problem = Problem("unknown key `\x1b]0;x\x07`", Position("f.yml", 1, 1), "k: 1", "\x9b")
    text = render_problems(DeclarationError("failed", problems=[problem]))
    assert "\\x1b]0;x\\x07" in text
    assert "\\x9b" in text
    assert all(unicodedata.category(character) != "Cc" or character == "\n" for character in text)


@given(
    st.text(alphabet="ab\t日é\x1b\u200b ", max_size=400),
    st.text(alphabet="ab\t日é\x1b\u200b ", max_size=400),
)
def test_the_caret_stands_under_the_mark_and_the_line_fits(before: str, after: str) -> None:
    shown = _rendered(f"{before}#{after}", len(before) + 1)
    line, caret = shown[1].removeprefix("     3 | "), shown[2].removeprefix("       | ")
    assert caret.strip() == "^"
    assert _columns(line) <= 122
    assert _columns(line[: line.index("#")]) == caret.index("^")


def _columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


@given(
    st.text(alphabet="ab日é ", min_size=1, max_size=300), st.integers(0, 299), st.integers(1, 40), st.integers(60, 130)
)
def test_on_a_terminal_no_line_of_the_block_is_longer_than_it(line: str, at: int, width: int, columns: int) -> None:
    where = Position("f.yml", 7, min(at, len(line) - 1) + 1, width)
    problem = Problem("wrong", where, "x" + line[1:], "write it otherwise, " * 6 + "and plan again")
    text = render_problems(DeclarationError("failed", problems=[problem]), columns=columns)
    assert all(cells(shown) <= columns for shown in text.splitlines())
    assert "^" in text
    assert "and plan again" in " ".join(text.split())


def test_a_line_of_megabytes_is_cut_to_what_can_be_shown() -> None:
    line = "a" * 3_000_000 + "#" + "b" * 3_000_000
    text = "".join(_rendered(line, 3_000_001, 2_000_000, "c" * 2_000_000))
    assert len(text) < 2000
    assert "a#b" in text
