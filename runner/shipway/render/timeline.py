"""What ran when, as bars below each other, with the longest path marked. Complete without colour, and in plain ASCII too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from shipway.durations import format_ms
from shipway.node_ids import readable
from shipway.nodes import FAILURES, Outcome
from shipway.receipt import NodeResult, Receipt, RollbackEntry, own_outcome, without_pauses
from shipway.render.columns import NARROWEST, Colour, pad, paint, width
from shipway.render.foreign import inert, one_line
from shipway.render.progress import cut_front
from shipway.render.signs import OUTCOME_SIGNS, outcome_colour

_MOST_ROWS = 40
_MOST_NAME = 28
_TOOK = 7


class Marks(Struct, frozen=True):
    """The characters of a timeline: bars on and off the longest path, undoing, waiting; `signs` where outcomes have one."""

    longest: str
    other: str
    undo: str
    waiting: str
    signs: bool


UNICODE = Marks("█", "▒", "◂", "·", signs=True)
ASCII = Marks("#", "=", "<", ".", signs=False)


class _Row(Struct, frozen=True):
    """One line: spans in milliseconds since the run began; `waits` are those in which it was ready and did not run."""

    name: str
    outcome: Outcome
    spans: tuple[tuple[int, int], ...]
    waits: tuple[tuple[int, int], ...]
    mark: str
    is_longest: bool = False
    is_known: bool = True

    @property
    def took_ms(self) -> int:
        return sum(end - start for start, end in self.spans)


def marks_for(encoding: str, locale: str, term: str) -> Marks:
    """Bars that the terminal can show: blocks, unless its encoding, its locale (`C`) or its kind (`dumb`) has none."""
    is_plain = bool(locale) and "utf" not in locale.lower()
    return ASCII if "utf" not in encoding.lower() or is_plain or term == "dumb" else UNICODE


def render_timeline(receipt: Receipt, marks: Marks, *, colour: bool, columns: int) -> str:
    """One line for each node that ran, and each undo, in the order they began; empty where nothing ran. Ends with a line end."""
    rows = [_row(result, receipt, marks) for result in receipt.nodes if result.started_ms is not None]
    rows += [_undo_row(entry, receipt, marks) for entry in receipt.rollback]
    if not rows:
        return ""
    shown = _longest(rows)
    total = max(max(end for row in rows for _, end in row.spans), receipt.running_ms, 1)
    columns = max(columns, NARROWEST)
    cells = min(max(width(row.name) for row in shown), _MOST_NAME, columns // 3)
    room = columns - cells - _TOOK - 5
    lines = ["", paint("timeline", Colour.BOLD, colour)]
    lines += [_line(row, marks, cells, room, total, colour) for row in shown]
    if len(shown) < len(rows):
        lines.append(paint(f"  and {len(rows) - len(shown)} shorter ones", Colour.DIM, colour))
    lines.append(paint(" " * (cells + 4) + _axis(total, room), Colour.DIM, colour))
    if any(row.is_longest for row in shown):
        path = f"{format_ms(receipt.critical_path_ms)} of {format_ms(receipt.running_ms)}"
        lines.append(paint(f"  {marks.longest} the longest path, {path}", Colour.DIM, colour))
    if receipt.paused_ms:
        lines.append(paint(f"  paused for {format_ms(receipt.paused_ms)}, which is left out", Colour.DIM, colour))
    return inert("\n".join(line.rstrip() for line in lines)) + "\n"


def _row(result: NodeResult, receipt: Receipt, marks: Marks) -> _Row:
    told = [(attempt.started_ms, attempt.ended_ms) for attempt in result.attempts]
    told = told or [(result.started_ms or 0, result.ended_ms or result.started_ms or 0)]
    spans = [(_running(start, receipt), _running(end, receipt)) for start, end in told]
    ready = _running(result.ready_ms, receipt) if result.ready_ms is not None else spans[0][0]
    between = [(before[1], after[0]) for before, after in pairwise(spans)]
    is_longest = result.node in receipt.critical_path
    return _Row(
        one_line(readable(result.node)),
        own_outcome(result) if own_outcome(result) in FAILURES else result.outcome,
        tuple(spans),
        ((ready, spans[0][0]), *between),
        marks.longest if is_longest else marks.other,
        is_longest,
        own_outcome(result) is not Outcome.UNKNOWN,
    )


def _running(at_ms: int, receipt: Receipt) -> int:
    """How long the run had been carried out by then."""
    return without_pauses(0, at_ms, receipt.pauses)


def _undo_row(entry: RollbackEntry, receipt: Receipt, marks: Marks) -> _Row:
    start, end = _running(entry.started_ms, receipt), _running(entry.ended_ms, receipt)
    span = (start, max(start, end))
    return _Row(f"undo {one_line(readable(entry.node))}", entry.outcome, (span,), (), marks.undo)


def _longest(rows: Sequence[_Row]) -> list[_Row]:
    """In the order they began; of too many those on the longest path, then those that took longest."""
    kept = sorted(rows, key=lambda row: (not row.is_longest, -row.took_ms))[:_MOST_ROWS]
    return sorted(kept, key=lambda row: row.spans[0][0])


def _line(row: _Row, marks: Marks, cells: int, room: int, total: int, colour: bool) -> str:
    bar = [" "] * room
    for spans, mark in ((row.waits, marks.waiting), (row.spans, row.mark)):
        for start, end in spans:
            first = min(start * room // total, room - 1)
            last = min(max(-(-end * room // total), first + 1), room)
            if end > start or mark == row.mark:
                bar[first:last] = [mark] * (last - first)
    sign = OUTCOME_SIGNS[row.outcome] if marks.signs else _plain_sign(row.outcome)
    took = format_ms(row.took_ms) if row.is_known else "?"
    painted = paint("".join(bar).rstrip(), outcome_colour(row.outcome), colour)
    name = pad(cut_front(row.name, cells) if marks.signs else row.name[-cells:], cells)
    return f"{sign} {name}  {painted}{' ' * (room - len(''.join(bar).rstrip()))} {took:>{_TOOK - 1}}"


def _plain_sign(outcome: Outcome) -> str:
    return {"✓": " ", "=": "="}.get(OUTCOME_SIGNS[outcome], "x" if outcome in FAILURES else "!")


def _axis(total: int, room: int) -> str:
    """Begin, middle and end of the time, where they stand."""
    middle, end = format_ms(total // 2), format_ms(total)
    left = "0"
    axis = left + " " * (room // 2 - len(left)) + middle
    return axis + " " * max(1, room - len(axis) - len(end)) + end
