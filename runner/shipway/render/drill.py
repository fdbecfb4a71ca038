"""What a drill found, as a table for a terminal. Decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from shipway.render.columns import Colour, pad, paint, width
from shipway.render.foreign import one_line


class DrillRow(Struct, frozen=True):
    """One node: what became of its undo and what `verify` said then, in words; `is_bad` needs a look."""

    node: str
    undo: str
    verify: str
    is_bad: bool = False


def render_drill(rows: Sequence[DrillRow], ending: str, *, colour: bool) -> str:
    """The table, and below it how the drill ended. Ends with a line end."""
    head = DrillRow("NODE", "UNDO", "VERIFY")
    cells = [max(width(one_line(getattr(row, name))) for row in (head, *rows)) for name in ("node", "undo")]
    lines = []
    for row in (head, *rows):
        text = f"{pad(one_line(row.node), cells[0])}  {pad(one_line(row.undo), cells[1])}  {one_line(row.verify)}"
        lines.append(paint(text.rstrip(), Colour.RED if row.is_bad else None, colour))
    return "\n".join([*lines, "", ending]) + "\n"
