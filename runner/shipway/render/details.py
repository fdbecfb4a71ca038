"""What a receipt knows of each node beyond its outcome: tries, outputs, last lines. Plain text; prints nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from shipway.durations import format_ms
from shipway.node_ids import readable
from shipway.receipt import Attempt, NodeResult, Receipt
from shipway.render.columns import NARROWEST, Colour, cut, paint, wrap
from shipway.render.foreign import lines_of, one_line
from shipway.render.wording import outcome_word


def render_details(receipt: Receipt, *, colour: bool, columns: int) -> str:
    """Every node that ran, after an empty line each: its tries, outputs, log, and last lines if it failed. Ends with a line end."""
    lines = []
    for result in receipt.nodes:
        if result.attempts:
            lines += ["", paint(f"node {one_line(readable(result.node))}", Colour.BOLD, colour)]
            lines += _node(result, max(columns, NARROWEST))
    return "\n".join(lines) + "\n" if lines else ""


def _node(result: NodeResult, columns: int) -> Iterator[str]:
    for attempt in result.attempts:
        yield from wrap(_attempt(attempt), columns, f"  attempt {attempt.number}  ")
    for name, value in result.outputs.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield from wrap(one_line(text), columns, f"  output  {one_line(name)} = ")
    if result.log:
        yield from wrap(one_line(result.log), columns, "  log        ")
    for line in lines_of(result.tail):
        yield cut(f"  | {line}", columns)


def _attempt(attempt: Attempt) -> str:
    took = format_ms(attempt.ended_ms - attempt.started_ms)
    text = f"{outcome_word(attempt.outcome)} after {took}, started {format_ms(attempt.started_ms)} into the run"
    if attempt.exit_code:
        text += f", exit {attempt.exit_code}"
    text += f": {one_line(attempt.error)}" if attempt.error else ""
    return text + (f"; {outcome_word(attempt.undo)} before the next" if attempt.undo else "")
