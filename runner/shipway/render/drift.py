"""What of the state is not so any more, for a terminal. Plain text."""

from __future__ import annotations

from collections.abc import Sequence

from shipway.deviation import Drift, Found, counts
from shipway.render.columns import Colour
from shipway.render.foreign import one_line
from shipway.render.state import table

_COLOURS = {Drift.DRIFTED: Colour.YELLOW, Drift.MISSING: Colour.RED, Drift.UNKNOWN: Colour.DIM}


def render_drift(found: Sequence[Found], *, every: bool, colour: bool, columns: int) -> str:
    """A line for each entry that differs or that nobody can tell of, or for `every` one; then how many there are of each."""
    shown = [each for each in found if every or each.drift is not Drift.HELD]
    cells = [
        [one_line(text) for text in (each.drift.value, each.entry.kind, each.entry.name, _since(each), each.why)]
        for each in shown
    ]
    tones = [_COLOURS.get(each.drift) for each in shown]
    blocks: list[list[str]] = [[] for _ in shown]
    listed = table(("DRIFT", "KIND", "NAME", "RUN", "WHY"), cells, blocks, tones, colour=colour, columns=columns)
    return listed + words(found) + "\n"


def words(found: Sequence[Found]) -> str:
    """How many there are of each, in a line."""
    told = [f"{count} {drift.value}" for drift, count in counts(found).items() if count]
    return ", ".join(told) or "no receipt tells of anything that could drift"


def _since(found: Found) -> str:
    return found.entry.by.run if found.entry.by else ""
