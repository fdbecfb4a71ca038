"""What a person is told of each event, as one line. Pure: keeps no state, writes nothing, knows no terminal."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from shipway.durations import format_ms
from shipway.events import (
    CleanupFailed,
    Event,
    LimitsResting,
    NodeFinished,
    NodeRetrying,
    NodeStarted,
    NodeStillRunning,
    NodeTakenBack,
    NodeUndone,
    PhaseFinished,
    RollbackStarted,
    RunStarted,
    RunWaiting,
    StageFinished,
    StageRetrying,
    Stopping,
    Warned,
)
from shipway.node_ids import readable
from shipway.nodes import DONE, FAILURES, WHOLE, Node, Outcome
from shipway.render.columns import Colour, cut, pad, paint, width, wrap
from shipway.render.foreign import lines_of, one_line
from shipway.render.signs import OUTCOME_SIGNS, outcome_colour
from shipway.render.wording import outcome_word, plural

TAIL_LINES = 20
"""How many of its last lines are shown of a node that failed."""

_MAX_NAME = 36


class Line(Struct, frozen=True):
    """One thing told: a sign of one cell, whom it is about (a node id, or empty), and what."""

    sign: str
    subject: str
    text: str
    colour: Colour | None = None
    is_alarm: bool = False


def tell(event: Event, nodes: Mapping[str, Node], *, is_verbose: bool) -> Line | None:
    """The line for `event`, or None where it is not told. `is_verbose` adds phases and stages."""
    match event:
        case RunStarted(run, ids, parallel, kept):
            done = f" and {kept} done before" if kept else ""
            return Line("▶", "", f"run {run}: {plural(len(ids), 'node')}{done}, up to {parallel} at once", Colour.BOLD)
        case NodeStarted(node, attempt):
            again = f" (attempt {attempt}{_of(node, event.before, nodes)})" if attempt > 1 else ""
            return Line(">", node, f"started{again}", Colour.DIM)
        case NodeRetrying():
            return _retrying(event, nodes)
        case NodeTakenBack():
            return _taken_back(event)
        case StageRetrying(stage, attempt, attempts, node, error, delay_ms):
            why = f"{node}: {error}" if error else node
            text = f"stage {stage} failed (attempt {attempt} of {attempts}) by {why}; undoing it, then again"
            return Line("↻", "", text + (f" in {format_ms(delay_ms)}" if delay_ms else ""), Colour.YELLOW)
        case LimitsResting(node, limits, for_ms):
            resting = "limit " + ", ".join(limits) if len(limits) == 1 else "limits " + ", ".join(limits)
            return Line("…", node, f"told to slow down: nothing more starts under {resting} for {format_ms(for_ms)}")
        case RunWaiting(why, for_ms):
            return Line("…", "", f"waiting {format_ms(for_ms)} for the {why}", Colour.DIM)
        case NodeStillRunning(node, elapsed_ms):
            return Line("…", node, f"still running after {format_ms(elapsed_ms)}", Colour.DIM)
        case NodeFinished():
            return _finished(event)
        case Stopping():
            return _stopping(event)
        case RollbackStarted(ids):
            return Line(
                "↩",
                "",
                f"rolling back {plural(len(ids), 'node')}: {', '.join(map(readable, ids))}",
                Colour.YELLOW,
                is_alarm=True,
            )
        case NodeUndone():
            return _undone(event)
        case CleanupFailed(name, error):
            return Line("!", "", f"cleanup of {name} failed: {error}", Colour.RED, is_alarm=True)
        case Warned(text, problem):
            where = f"{problem.where}: " if problem and problem.where else ""
            return Line("!", "", f"warning: {where}{text}", Colour.YELLOW, is_alarm=True)
        case StageFinished(stage, outcome) if is_verbose:
            return Line("=", "", f"stage {stage} {outcome_word(Outcome(outcome))}", Colour.DIM)
        case PhaseFinished(phase, duration_ms, error) if is_verbose:
            return Line(
                "=", "", f"phase {phase} {'failed' if error else 'done'} after {format_ms(duration_ms)}", Colour.DIM
            )
    return None


def tail_of(event: NodeFinished | NodeUndone) -> list[str]:
    """The last lines of a node that failed, or whose undo did, cleaned; none of any other."""
    outcome = Outcome(event.outcome)
    failed = outcome in FAILURES or outcome is Outcome.UNDO_FAILED
    return lines_of(event.tail)[-TAIL_LINES:] if failed else []


def laid_out(line: Line, *, name_cells: int, columns: int, colour: bool) -> str:
    """`line` with its subject in a column of `name_cells` (0: as wide as it is), in rows of `columns`; no line end."""
    subject = one_line(readable(line.subject))
    first = f"{line.sign} "
    if subject:
        first += pad(cut_front(subject, name_cells), name_cells) + "  " if name_cells else f"{subject}  "
    rows = wrap(one_line(line.text), max(columns, width(first) + 20), first)
    return "\n".join(paint(row, line.colour, colour) for row in rows) if colour else "\n".join(rows)


def name_cells(ids: Mapping[str, object], columns: int) -> int:
    """How wide the column of node ids is: as the longest, but at most 36 cells and less than half the screen."""
    widest = max((width(one_line(readable(node))) for node in ids), default=0)
    return min(widest, _MAX_NAME, max(columns // 2 - 4, 8))


def cut_front(text: str, cells: int) -> str:
    """`text` within `cells`; of a longer one the end stays, since that is where ids differ."""
    if width(text) <= cells:
        return text
    return "…" + cut(text[::-1], cells)[:-1][::-1]


def _of(node: str, before: int, nodes: Mapping[str, Node]) -> str:
    """How many there may be, with those before that count no more; not said of what is tried once."""
    attempts = nodes[node].retry.attempts if node in nodes else 1
    return f" of {before + attempts}" if attempts > 1 else ""


def _taken_back(event: NodeTakenBack) -> Line:
    outcome = Outcome(event.outcome)
    if outcome is Outcome.UNDONE:
        return Line("↩", event.node, f"undone in {format_ms(event.duration_ms)}, to be tried again", Colour.YELLOW)
    text = f"{outcome_word(outcome)}, not tried again" + (f": {event.error}" if event.error else "")
    return Line(OUTCOME_SIGNS[outcome], event.node, text, outcome_colour(outcome), is_alarm=True)


def _retrying(event: NodeRetrying, nodes: Mapping[str, Node]) -> Line:
    bound = _of(event.node, event.before, nodes)
    next_one = f"retrying in {format_ms(event.delay_ms)} (attempt {event.attempt + 1}{bound})"
    return Line("↻", event.node, f"{event.error or 'failed'}; {next_one}", Colour.YELLOW)


def _finished(event: NodeFinished) -> Line:
    outcome = Outcome(event.outcome)
    text = outcome_word(outcome)
    if outcome in FAILURES and event.exit_code and event.exit_code > 0:  # the error names a signal
        text += f" (exit {event.exit_code})"
    if outcome is Outcome.BLOCKED and event.cause:
        text += f" by {readable(event.cause)}"
    elif outcome in DONE and event.duration_ms:
        text += f" in {_worked(event)}"
    elif outcome in FAILURES or outcome is Outcome.CANCELLED:
        text += f" after {_worked(event)}"
    error = event.error if event.error != f"exit {event.exit_code}" else ""
    cause = event.cause if outcome is not Outcome.BLOCKED else ""
    details = "; ".join(part for part in (error, cause) if part)
    text += f": {details}" if details else ""
    text += f" (warning: {event.warning})" if event.warning else ""
    return Line(OUTCOME_SIGNS[outcome], event.node, text, outcome_colour(outcome), is_alarm=outcome in FAILURES)


def _worked(event: NodeFinished) -> str:
    """How long its attempts took together, as the receipt's table has it."""
    tries = f" in {event.attempts} attempts" if event.attempts > 1 else ""
    return format_ms(event.duration_ms) + tries


def _stopping(event: Stopping) -> Line:
    text = f"stopping, nothing new starts: {event.why}"
    if event.nodes:
        within = f" within {format_ms(event.grace_ms)} at most" if event.grace_ms else " at once"
        text += f"; ending {', '.join(map(readable, event.nodes))}{within}"
    return Line("■", "", text, Colour.YELLOW, is_alarm=True)


def _undone(event: NodeUndone) -> Line:
    outcome = Outcome(event.outcome)
    text = "ran" if outcome in DONE else outcome_word(outcome)  # what did not undo anything was a compensation
    text += f" in {format_ms(event.duration_ms)}" if outcome in (Outcome.UNDONE, *DONE) else ""
    text += (" " if outcome is Outcome.BLOCKED else ": ") + event.error if event.error else ""
    return Line(OUTCOME_SIGNS[outcome], event.node, text, outcome_colour(outcome), is_alarm=outcome not in WHOLE)
