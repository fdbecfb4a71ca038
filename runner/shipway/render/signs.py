"""The sign and colour of a change, an outcome and a verdict on a terminal. Never the only carriers of a fact."""

from __future__ import annotations

from shipway.nodes import Change, Outcome
from shipway.policies import Decision
from shipway.render import wording
from shipway.render.columns import Colour

CHANGE_SIGNS = {
    Change.CREATE: "+",
    Change.UPDATE: "~",
    Change.REPLACE: "±",
    Change.DELETE: "-",
    Change.RUN: ">",
    Change.READ: "<",
    Change.NOOP: "=",
}


CHANGE_COLOURS = {
    Change.CREATE: Colour.GREEN,
    Change.UPDATE: Colour.YELLOW,
    Change.REPLACE: Colour.MAGENTA,
    Change.DELETE: Colour.RED,
    Change.RUN: Colour.CYAN,
    Change.READ: Colour.DIM,
    Change.NOOP: Colour.DIM,
}


OUTCOME_SIGNS = {
    Outcome.SUCCEEDED: "✓",
    Outcome.UNCHANGED: "=",
    Outcome.SKIPPED: "-",
    Outcome.FAILED: "✗",
    Outcome.TIMED_OUT: "✗",
    Outcome.CANCELLED: "■",
    Outcome.BLOCKED: "·",
    Outcome.NOT_STARTED: "·",
    Outcome.UNDONE: "↩",
    Outcome.UNDO_FAILED: "✗",
    Outcome.NOT_UNDOABLE: "!",
    Outcome.DRIFTED: "≠",
    Outcome.UNKNOWN: "?",
}


VERDICT_COLOURS = {Decision.DENY: Colour.RED, Decision.ERROR: Colour.RED, Decision.WARN: Colour.YELLOW}


def outcome_colour(outcome: Outcome) -> Colour:
    """Red for what needs a look, green for what is done, yellow for undone, dim for what never ran."""
    if outcome in wording.BAD:
        return Colour.RED
    if outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED):
        return Colour.GREEN
    return Colour.YELLOW if outcome is Outcome.UNDONE else Colour.DIM
