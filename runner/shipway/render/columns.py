"""Text in terminal columns: width, cutting, wrapping, colour. Knows nothing of plans; writes nothing."""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from functools import lru_cache

NARROWEST = 40
"""Below this many columns nothing is laid out any narrower: the terminal wraps instead."""


class Colour(StrEnum):
    """Terminal colours and weights by SGR number. Never the only carrier of a fact."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    MAGENTA = "35"
    CYAN = "36"


def paint(text: str, colour: Colour | None, enabled: bool) -> str:
    """`text` in `colour`; as it is where colour is not enabled, None, or there is no text."""
    return f"\x1b[{colour.value}m{text}\x1b[0m" if enabled and colour and text else text


def width(text: str) -> int:
    """How many cells `text` takes; combining marks take none, wide characters two. `text` holds no control characters."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int) -> str:
    """`text` within `cells`, its end replaced by `…` where it is longer."""
    if width(text) <= cells:
        return text
    return _head(text, max(cells - 1, 0)) + "…"


def pad(text: str, cells: int) -> str:
    """`text` followed by spaces up to `cells`; longer text stays whole."""
    return text + " " * (cells - width(text))


def wrap(text: str, cells: int, first: str = "", rest: str | None = None) -> list[str]:
    """`text` in lines of at most `cells`, broken at spaces; a word longer than a line is broken hard.

    The first line begins with `first`, the others with `rest` (as many spaces as `first` is wide where not given).
    """
    if width(first) + width(text) <= cells:
        return [first + text]
    rest = " " * width(first) if rest is None else rest
    lines: list[str] = []
    line, empty = first, True
    for word in text.split(" "):
        if not empty and width(line) + 1 + width(word) > cells:
            lines.append(line)
            line, empty = rest, True
        line, empty = (line + word if empty else f"{line} {word}"), False
        while width(line) > cells and cells > width(rest) + 1:
            head = _head(line, cells)
            lines.append(head)
            line = rest + line[len(head) :]
    return [*lines, line]


def _head(text: str, cells: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += _cells(char)
        if taken > cells:
            return text[:place]
    return text


@lru_cache(maxsize=4096)
def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
