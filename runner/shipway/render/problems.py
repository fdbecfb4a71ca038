"""Errors and problems as plain text: place, what is wrong, the line with a caret, what to do. Decides nothing, prints nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from msgspec import Struct

from shipway.errors import Position, ShipwayError
from shipway.render.columns import NARROWEST, wrap
from shipway.render.foreign import is_invisible

_WIDTH = 120
"""Columns of a source line that are shown at most, around the caret where the line is longer."""

_MARGIN = len("  1234 | ")

_REACH = 400
_LONGEST_TEXT = 1000
_TAB = 8


def render_problems(
    error: ShipwayError, *, columns: int | None = None, addressed: Callable[[str], str] = lambda text: text
) -> str:
    """`error` as lines for a terminal or log, without colour, ending in a line break.

    Each problem shows its place, its source line and its hint under a caret; the last line sums up and says what next.
    A terminal of `columns` would break longer lines, and the caret would stand under nothing; None is no terminal.
    `addressed` gives what to do next with the pages that it names as they can be found.
    """
    blocks = [_block(problem.text, problem.where, problem.line, problem.hint, columns) for problem in error.problems]
    if not blocks and error.where is not None:
        blocks = [_block(error.message, error.where, error.line, "", columns)]
        last = _visible(addressed(error.next))
    else:
        last = _summed_up(error.message, addressed(error.next))
    if columns is not None:
        last = "\n".join(part for line in last.split("\n") for part in _wrapped(line, columns))
    return "".join([*blocks, last + "\n" if last else ""])


def _summed_up(message: str, next: str) -> str:
    shown = "\n".join(_visible(line) for line in message.split("\n"))
    if not next:
        return shown
    # What is listed on lines of its own is not followed on the last of them.
    return f"{shown}\n{_visible(next)}" if "\n" in shown else f"{shown}. {_visible(_sentence(next))}"


def _wrapped(line: str, columns: int) -> list[str]:
    """Rows of a line of a list keep its indentation."""
    margin = line[: len(line) - len(line.lstrip(" "))]
    return wrap(line[len(margin) :], max(columns, NARROWEST), margin) if len(line) > columns else [line]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _block(text: str, where: Position | None, line: str, hint: str, columns: int | None) -> str:
    if where is None:
        return f"{_visible(text)}\n" + (f"   {_visible(hint)}\n" if hint else "")
    head = f"{_visible(str(where))}: {_visible(text)}\n"
    if not line.strip():
        return head + (f"   {_visible(hint)}\n" if hint else "")
    shown = _window(line, where, _room(columns))
    number = f"{where.line:>6} | "
    margin = " " * (len(number) - 2) + "| "
    marked = f"{head}{number}{shown.line.rstrip()}\n{margin}{shown.caret}"
    if not hint:
        return marked + "\n"
    if columns is None or len(margin) + len(shown.caret) + 1 + len(hint) <= columns:
        return f"{marked} {_visible(hint)}\n"
    return "\n".join([marked, *wrap(_visible(hint), max(columns, NARROWEST), margin)]) + "\n"


def _room(columns: int | None) -> int:
    """Columns for a source line, with room for `…` at both ends."""
    return _WIDTH if columns is None else min(_WIDTH, max(columns, NARROWEST) - _MARGIN - 2)


class _Cell(Struct, frozen=True):
    """One character of a source line as shown: its text, and how many columns that takes."""

    text: str
    columns: int

    @classmethod
    def of(cls, character: str) -> _Cell:
        if character == "\t":
            return cls(" " * _TAB, _TAB)
        if _is_hidden(character):
            text = _escape(character)
            return cls(text, len(text))
        if unicodedata.combining(character):
            return cls(character, 0)
        return cls(character, 2 if unicodedata.east_asian_width(character) in "WF" else 1)


class _Shown(Struct, frozen=True):
    line: str
    caret: str


def _window(line: str, where: Position, room: int) -> _Shown:
    """The part of a line around its caret that fits into the width, with `…` where something is left out."""
    # A line can be megabytes long; of combining characters, which take no column, as many as fit in here are shown.
    start = max(where.column - 1 - _REACH, 0)
    cells = [_Cell.of(character) for character in line[start : where.column - 1 + _REACH]]
    at = min(where.column - 1 - start, len(cells))
    end = min(at + where.width, len(cells))
    first = 0
    if start or sum(cell.columns for cell in cells[:end]) > room:
        first = _first_shown(cells, at, room)
    last, columns = first, 0
    while last < len(cells) and columns + cells[last].columns <= room:
        columns += cells[last].columns
        last += 1
    before = "…" if first or start else ""
    after = "…" if last < len(cells) or start + last < len(line) else ""
    padding = len(before) + sum(cell.columns for cell in cells[first:at])
    width = max(sum(cell.columns for cell in cells[at : min(end, last)]), 1)
    text = "".join(cell.text for cell in cells[first:last])
    return _Shown(f"{before}{text}{after}", " " * padding + "^" * width)


def _first_shown(cells: list[_Cell], at: int, room: int) -> int:
    """The first character to show so that a third of the width stands before the caret."""
    first, columns = at, 0
    while first > 0 and columns + cells[first - 1].columns <= room // 3:
        first -= 1
        columns += cells[first].columns
    return first


def _is_hidden(character: str) -> bool:
    """Controls, line separators, direction marks and what nobody sees: they would move what is shown, or hide it."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} or is_invisible(character)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _visible(text: str) -> str:
    shown = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    return "".join(_escape(character) if _is_hidden(character) else character for character in shown)
