"""A small terminal screen: what stands on it after the bytes a program wrote. Knows the sequences that Shipway's view uses."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """Rows of text, scrolling without end; `faults` are sequences it does not know."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.is_cursor_shown = True
        self.faults: list[str] = []

    def feed(self, text: str) -> None:
        """Show `text`, in which no sequence is cut in two."""
        place = 0
        while place < len(text):
            match = _SEQUENCE.match(text, place)
            if match:
                self._sequence(*match.groups())
                place = match.end()
                continue
            self._char(text[place])
            place += 1

    @property
    def lines(self) -> list[str]:
        """The rows without trailing spaces, without empty rows at the end."""
        shown = ["".join(row).rstrip() for row in self.rows]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def _char(self, char: str) -> None:
        if char == "\n":
            self.row += 1
            self._grow()
        elif char == "\r":
            self.column = 0
        elif char < " ":
            self.faults.append(repr(char))
        else:
            if self.column >= self.columns:
                self.row, self.column = self.row + 1, 0
                self._grow()
            row = self.rows[self.row]
            row.extend(" " * (self.column - len(row) + 1))
            row[self.column] = char
            self.column += 1

    def _grow(self) -> None:
        while self.row >= len(self.rows):
            self.rows.append([])

    def _sequence(self, private: str, numbers: str, final: str) -> None:
        count = int(numbers.split(";")[0] or 1) if numbers else 1
        if final == "m":
            return
        if final == "A":
            self.row = max(self.row - count, 0)
        elif final == "K":
            self.rows[self.row] = [] if numbers == "2" else self.rows[self.row][: self.column]
        elif private and numbers == "25" and final in "hl":
            self.is_cursor_shown = final == "h"
        else:
            self.faults.append(f"{private}{numbers}{final}")
