"""The list of runs, and what happens in one, as plain text. Lays out what it is given; reads no journal and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from shipway.durations import format_ms
from shipway.nodes import Outcome
from shipway.render.columns import Colour, cut, paint
from shipway.render.foreign import one_line
from shipway.render.signs import OUTCOME_SIGNS, outcome_colour
from shipway.render.table import room, table
from shipway.render.wording import outcome_word


class RunRow(Struct, frozen=True):
    """One run: its id, what it was of, how it stands in a word or two, when it began and how long it took.

    `kept_in` says where it is known, where there is more than one place to know it.
    """

    run: str
    lifecycle: str
    target: str
    standing: str
    began: str
    took: str
    colour: Colour | None = None
    kept_in: str = ""


_HEADS = ("RUN", "LIFECYCLE", "TARGET", "STANDING", "BEGAN", "TOOK", "KEPT")


def render_runs(rows: Sequence[RunRow], *, colour: bool, columns: int) -> str:
    """A line for each run below the names of the columns, ending with a line end; nothing where there is no run.

    Where that is too wide, it is without the times at which they began: the ids hold them.
    """
    if not rows:
        return ""
    cells = [[one_line(text) for text in _texts(row)] for row in rows]
    heads = list(_HEADS)
    if not any(row.kept_in for row in rows):
        heads, cells = heads[:-1], [line[:-1] for line in cells]
    if room(heads, cells) > columns:
        heads, cells = _without_began(heads), [_without_began(line) for line in cells]
    return table(heads, cells, [[] for _ in rows], [row.colour for row in rows], colour=colour, columns=columns)


def _without_began(line: Sequence[str]) -> list[str]:
    place = _HEADS.index("BEGAN")
    return [*line[:place], *line[place + 1 :]]


def _texts(row: RunRow) -> tuple[str, ...]:
    return (row.run, row.lifecycle, row.target, row.standing, row.began, row.took, row.kept_in)


_TRYING = {"do": "", "undo": "undo of "}


def render_moment(
    node: str,
    verb: str,
    outcome: Outcome | None,
    *,
    at_ms: int,
    took_ms: int,
    number: int,
    error: str,
    colour: bool,
    columns: int,
) -> str:
    """A line on an attempt that began (`outcome` None) or ended `at_ms` after its run began; ends with a line end."""
    what = f"{_TRYING.get(verb, f'{verb} of ')}{one_line(node)}"
    again = f", try {number}" if number > 1 else ""
    if outcome is None:
        return cut(f"{format_ms(at_ms):>8}  > {what}  started{again}", columns) + "\n"
    why = f": {one_line(error)}" if error else ""
    text = f"{format_ms(at_ms):>8}  {OUTCOME_SIGNS[outcome]} {what}  {outcome_word(outcome)} in {format_ms(took_ms)}{again}{why}"
    return paint(cut(text, columns), outcome_colour(outcome), colour) + "\n"
