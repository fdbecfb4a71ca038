"""Cells below the names of their columns, as wide as the widest of each. Knows nothing of what they hold; prints nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.render.columns import Colour, cut, pad, paint, width, wrap


def table(
    heads: Sequence[str],
    cells: Sequence[Sequence[str]],
    blocks: Sequence[Sequence[str]],
    colours: Sequence[Colour | None],
    *,
    colour: bool,
    columns: int,
    least: int = 0,
) -> str:
    """Lines of cells below the names of the columns, each with its block of lines behind it; nothing where there is none.

    With `least`, last columns that find no room are left out, down to that many, instead of cutting each line.
    """
    if not cells:
        return ""
    widths = _widths(heads, cells)
    while least and len(widths) > least and sum(widths) + 2 * (len(widths) - 1) > columns:
        widths.pop()
    heads, cells = heads[: len(widths)], [line[: len(widths)] for line in cells]
    lines = [paint(cut(_line(heads, widths), columns), Colour.BOLD, colour)]
    for line, block, tone in zip(cells, blocks, colours, strict=True):
        lines.append(paint(cut(_line(line, widths), columns), tone, colour))
        lines += [paint(part, Colour.DIM, colour) for text in block for part in wrap(text, columns, "  ", "    ")]
    return "\n".join(lines) + "\n"


def room(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """How many columns a table of these takes with nothing cut."""
    return sum(_widths(heads, cells)) + 2 * (len(heads) - 1)


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width, column)) for column in zip(heads, *cells, strict=True)]


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(pad(text, cells) for text, cells in zip(texts, widths, strict=True)).rstrip()
