"""One page of plain text: lines, labelled facts and headings within so many columns. Knows nothing of plans; prints nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.render.columns import NARROWEST, Colour, pad, paint, width, wrap
from shipway.render.foreign import inert, one_line

LABEL = 10
"""How many cells the label of a fact takes."""

_NO_BREAK = "\xa0"


class Page:
    """Lines of one page, `columns` wide."""

    def __init__(self, columns: int, colour: bool) -> None:
        self.columns = max(columns, NARROWEST)
        self.colour = colour
        self._lines: list[str] = []

    def line(self, text: str = "", colour: Colour | None = None) -> None:
        """Add one line, as wide as it is."""
        self._lines.append(paint(text.rstrip(), colour, self.colour))

    def wrapped(self, text: str, first: str = "", colour: Colour | None = None) -> None:
        """Add a text behind `first`, its further lines below its beginning."""
        for line in wrap(text, self.columns, first):
            self.line(line, colour)

    def fact(self, label: str, text: str, indent: str = "  ", colour: Colour | None = None) -> None:
        """Add a text beside a label of one word."""
        self.wrapped(text, f"{indent}{label:<{LABEL}} ", colour)

    def labelled(self, label: str, cells: int, text: str, indent: str = "  ", colour: Colour | None = None) -> None:
        """`text` beside a label `cells` wide; a wider label has lines of its own above it."""
        if width(label) > cells:
            self.wrapped(label, indent, colour)
            indent, label = " " * width(indent), ""
        self.wrapped(text, f"{indent}{pad(label, cells)}  ", colour)

    def heading(self, left: str, right: str = "", colour: Colour = Colour.BOLD) -> None:
        """Add an empty line and a heading, with `right` at the end of its line where there is room."""
        left, right = left.rstrip(), right.rstrip()
        room = self.columns - width(left) - width(right)
        self.line()
        if right and room >= 2:
            self._lines.append(paint(left, colour, self.colour) + " " * room + paint(right, Colour.DIM, self.colour))
            return
        self.wrapped(left, colour=colour)
        if right:
            self.wrapped(right, "  ", Colour.DIM)

    def text(self) -> str:
        """The page, which ends with a line end."""
        # These texts end up in the logs of CI, where a wrapped title may begin a line.
        lines = "\n".join(line.rstrip() for line in self._lines).lstrip("\n").replace(_NO_BREAK, " ")
        return inert(lines) + "\n"


def widest(names: Sequence[str], limit: int) -> int:
    """How many cells the widest of the names takes, `limit` at most."""
    return min(max((width(one_line(name)) for name in names), default=0), limit)


def unbroken(counts: Sequence[str]) -> str:
    """The counts in a row, which is not wrapped within one."""
    return " · ".join(count.replace(" ", _NO_BREAK) for count in counts)
