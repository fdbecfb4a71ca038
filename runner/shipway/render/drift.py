"""What of the state is not so any more, for a terminal. Plain text."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.deviation import Drift, Found, counts
from shipway.render.columns import Colour
from shipway.render.foreign import one_line
from shipway.render.table import room, table

_COLOURS = {Drift.DRIFTED: Colour.YELLOW, Drift.MISSING: Colour.RED, Drift.UNKNOWN: Colour.DIM}


def render_drift(found: Sequence[Found], *, every: bool, colour: bool, columns: int) -> str:
    """A line for each entry that differs or that nobody can tell of, or for `every` one; then how many there are of each."""
    shown = [each for each in found if every or each.drift is not Drift.HELD]
    cells = [
        [one_line(text) for text in (each.drift.value, each.entry.kind, each.entry.name, each.why, _since(each))]
        for each in shown
    ]
    tones = [_COLOURS.get(each.drift) for each in shown]
    heads: Sequence[str] = ("DRIFT", "KIND", "NAME", "WHY", "RUN")
    # Where there is no room beside the names, why it differs stands below each.
    is_narrow = bool(cells) and room(heads[:4], [line[:4] for line in cells]) > columns
    blocks: list[list[str]] = [[line[3]] if is_narrow and line[3] else [] for line in cells]
    if is_narrow:
        heads, cells = heads[:3], [line[:3] for line in cells]
    listed = table(heads, cells, blocks, tones, colour=colour, columns=columns, least=3 if is_narrow else 4)
    is_whole = bool(found) and all(each.drift is Drift.HELD for each in found)
    return f"{listed}{words(found)}{': nothing drifted' if is_whole else ''}\n"


def words(found: Sequence[Found]) -> str:
    """How many there are of each, in a line."""
    told = [f"{count} {drift.value}" for drift, count in counts(found).items() if count]
    return ", ".join(told) or "no receipt tells of anything that could drift"


def _since(found: Found) -> str:
    return found.entry.by.run if found.entry.by else ""
