"""A receipt as plain text, for a terminal or a file. Complete without colour; decides nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from shipway.durations import ago, format_ms
from shipway.errors import Reason
from shipway.node_ids import readable
from shipway.nodes import DONE, FAILURES, WHOLE, Outcome
from shipway.plan import Plan
from shipway.policies import Decision
from shipway.receipt import NodeResult, Receipt, RollbackEntry, RunOutcome, own_outcome
from shipway.render import wording
from shipway.render.columns import Colour, cut, pad, paint, width, wrap
from shipway.render.folding import folded_results
from shipway.render.folding import name as folded_name
from shipway.render.foreign import lines_of, one_line
from shipway.render.page import Page, unbroken, widest
from shipway.render.receipt_words import (
    accounted_words,
    approved_words,
    broken_glass,
    cause_of,
    ending,
    not_undone,
    parallelism,
    preview_next,
    receipt_counts,
    result_word,
    took_words,
    undo_text,
)
from shipway.render.signs import OUTCOME_SIGNS, VERDICT_COLOURS, outcome_colour
from shipway.summary import Undoable, made_words, summarise, undoable

_TAIL_LINES = 20
_UNTOLD = frozenset({*DONE, Outcome.SKIPPED, Outcome.NOT_STARTED})
_ENDING_COLOURS = {RunOutcome.SUCCEEDED: Colour.GREEN, RunOutcome.ROLLED_BACK: Colour.YELLOW}


def render_receipt(
    receipt: Receipt,
    plan: Plan | None,
    *,
    colour: bool,
    columns: int,
    again: str = "",
    is_last: bool = True,
    was_killed: bool = False,
    was_undoing: bool = False,
    surviving: Collection[str] = (),
    going_on: Sequence[str] = (),
    is_brief: bool = False,
) -> str:
    """Every node with its outcome and cause, what failed and was undone, and what to type next. Ends with a line end.

    Typed as shown, what is next works: `again` is the command that runs the same anew, `is_last` says that no later run of
    this lifecycle and target is in the journal, so that this one can be gone on with, or undone. `was_killed` says that it is
    unfinished: the receipt is what its journal holds; `was_undoing`, that its rollback was under way then;
    `surviving` are nodes of it that still run. `going_on` is what to
    do and type where a bare `resume` would refuse. `is_brief` leaves out, but in the counts, nodes that did their part or never
    came to it.
    """
    page = Page(columns, colour)
    killed = "killed while it was rolled back" if was_undoing else "killed, unfinished"
    _head(page, receipt, killed if was_killed else ending(receipt), "last heard of after" if was_killed else "took")
    _results(page, receipt, _UNTOLD if is_brief else frozenset())
    for result in receipt.failed:
        # The log of a run in CI is gone with its machine.
        logged = receipt.run if receipt.by.invoker == "local" else ""
        _failure(page, result, plan, logged, still_runs=result.node in surviving)
    _undone(page, receipt)
    _foot(page, receipt, plan)
    again = again or f"shipway run --target {one_line(receipt.target)}"
    run = one_line(receipt.run)
    if was_undoing and not preview_next(receipt, plan):
        hints = [f"shipway resume {run}, to go on undoing"]
    elif was_killed and not preview_next(receipt, plan):
        hints = [*(going_on or [f"shipway resume {run}, to go on"]), f"shipway rollback {run}, to undo what it did"]
    else:
        hints = _next(receipt, plan, again, going_on, is_last=is_last)
    for name, hint in zip(("next", *[""] * len(hints)), hints, strict=False):
        page.fact(name, hint)
    return page.text()


def render_running(receipt: Receipt, *, so_far_ms: int, colour: bool, columns: int) -> str:
    """A run in progress, as far as its journal has it: which nodes are done, which run; and what to type meanwhile.

    Of what has not ended nothing is said that only an end would show. Ends with a line end.
    """
    page = Page(columns, colour)
    page.heading(
        f"{one_line(receipt.lifecycle)} → {one_line(receipt.target)}: in progress", f"run {one_line(receipt.run)}"
    )
    page.fact("started", f"{one_line(receipt.started)}, {ago(so_far_ms)}{_by(receipt)}")
    page.line()
    cells = widest([one_line(readable(result.node)) for result in receipt.nodes], page.columns // 2)
    for result in receipt.nodes:
        name = one_line(readable(result.node))
        if result.outcome is Outcome.UNKNOWN:
            page.labelled(name, cells, f"running for {format_ms(max(0, so_far_ms - (result.started_ms or 0)))}", "  > ")
        elif result.outcome is Outcome.NOT_STARTED:
            page.labelled(name, cells, "waits", "  · ", Colour.DIM)
        else:
            sign = f"  {OUTCOME_SIGNS[result.outcome]} "
            page.labelled(name, cells, _told(result), sign, outcome_colour(result.outcome))
    page.line()
    run = one_line(receipt.run)
    page.fact("next", f"shipway follow {run}, to see it to its end")
    page.fact("", f"shipway cancel {run}, to stop it")
    return page.text()


def _head(page: Page, receipt: Receipt, ended: str, took: str) -> None:
    colour = _ENDING_COLOURS.get(receipt.outcome, Colour.RED)
    if receipt.break_glass is not None:
        page.wrapped(f"{broken_glass(receipt.break_glass)}", "! ", Colour.RED)
    title = f"{one_line(receipt.lifecycle)} → {one_line(receipt.target)}: {ended}"
    page.heading(title, f"run {one_line(receipt.run)}", colour)
    page.fact("started", f"{one_line(receipt.started)}, {took} {took_words(receipt)}{_by(receipt)}")
    page.fact("summary", unbroken(receipt_counts(receipt)))
    if made := made_words(summarise(receipt)):
        page.fact("made", unbroken(made))
    for signature in receipt.signatures:
        page.fact("signed", one_line(f"{signature.method}, {signature.key}"))
    for approval in receipt.approvals:
        page.fact("approved", approved_words(approval))
    for text in accounted_words(receipt):
        page.fact("left out", text)
    for decision, line in wording.verdict_lines(receipt.verdicts):
        if decision is not Decision.ALLOW:
            page.fact("policy", line, colour=VERDICT_COLOURS.get(decision))
    if receipt.error:
        page.fact("error", one_line(receipt.error), colour=Colour.RED)
    for warning in receipt.warnings:
        page.fact("warning", one_line(warning), colour=Colour.YELLOW)


def _by(receipt: Receipt) -> str:
    return f", by {one_line(receipt.by.actor)}" if receipt.by.actor else ""


def _results(page: Page, receipt: Receipt, untold: frozenset[Outcome]) -> None:
    stages = {result.stage: result.outcome for result in receipt.stages}
    told = [result for result in receipt.nodes if result.outcome not in untold or result.warning]
    shown = [_as_one(alike) for alike in folded_results(told)]
    cells = widest([_step(result) for result in shown], page.columns // 3)
    last = ""
    for result in shown:
        stage = result.node.split("/", 1)[0]
        if stage != last:
            outcome = stages.get(stage)
            page.heading(f"stage {one_line(stage)}", wording.outcome_word(outcome) if outcome else "")
            last = stage
        _result(page, result, cells)


def _as_one(alike: Sequence[NodeResult]) -> NodeResult:
    """One result, or what several iterations that ended alike came to together, as one."""
    first = alike[0]
    if len(alike) == 1:
        return first
    starts = [result.started_ms for result in alike if result.started_ms is not None]
    ends = [result.ended_ms for result in alike if result.ended_ms is not None]
    return replace(
        first,
        node=folded_name(first.node, len(alike)),
        started_ms=min(starts, default=None),
        ended_ms=max(ends, default=None),
        attempts=(),
        warning="",
    )


def _step(result: NodeResult) -> str:
    return one_line(readable(result.node).split("/", 1)[-1])


def _result(page: Page, result: NodeResult, cells: int) -> None:
    colour = outcome_colour(result.outcome)
    sign = f"  {OUTCOME_SIGNS[own_outcome(result) if own_outcome(result) in FAILURES else result.outcome]} "
    tries = f"{len(result.attempts)} attempts" if len(result.attempts) > 1 else ""
    took = format_ms(result.worked_ms) if own_outcome(result) is not Outcome.UNKNOWN else ""
    right = f"{tries:>11} {took:>6}" if result.started_ms is not None else ""
    name = _step(result)
    if width(name) > cells:
        page.wrapped(name, sign, colour)
        sign, name = " " * width(sign), ""
    room = page.columns - width(right)
    first, *others = wrap(_told(result), room, f"{sign}{pad(name, cells)}  ")
    page.line(paint(pad(first, room) if right else first, colour, page.colour) + right)
    for line in others:
        page.line(line, colour)


def _told(result: NodeResult) -> str:
    cause = cause_of(result)
    separator = " " if result.outcome is Outcome.BLOCKED else ": "
    return result_word(result) + (separator + cause if cause else "")


def _failure(page: Page, result: NodeResult, plan: Plan | None, run: str, *, still_runs: bool) -> None:
    node = plan.by_id.get(result.node) if plan else None
    is_unreported = own_outcome(result) is Outcome.UNKNOWN
    page.heading(
        f"{'never reported' if is_unreported else 'failed'}: {one_line(readable(result.node))}", colour=Colour.RED
    )
    if node and node.title:
        page.fact("what", one_line(node.title))
    unreported = "it was begun, and Shipway was gone before it ended" if is_unreported else ""
    if still_runs:
        unreported = "it still runs, though Shipway is gone: resume and rollback end it first"
    page.fact("how", cause_of(result) or unreported or wording.outcome_word(result.outcome))
    if node:
        page.fact("declared", str(node.position))
    if result.log and run:
        page.fact("log", one_line(f".shipway/runs/{run}/logs/{result.log}"))
    tail = lines_of(result.tail)[-_TAIL_LINES:]
    if tail or not is_unreported:  # of one that was not reported nobody has read it yet
        page.line("  its last output" if tail else "  it printed nothing", Colour.DIM)
    for line in tail:
        page.line(cut(f"  | {line}", page.columns))


def _undone(page: Page, receipt: Receipt) -> None:
    if receipt.rollback:
        page.heading("rollback, in this order")
    cells = widest([readable(entry.node) for entry in receipt.rollback], page.columns // 2)
    for entry in receipt.rollback:
        sign = f"  {OUTCOME_SIGNS[entry.outcome]} "
        page.labelled(one_line(readable(entry.node)), cells, undo_text(entry), sign, outcome_colour(entry.outcome))
        _undo_output(page, entry, receipt.run)
    left = not_undone(receipt)
    if left:
        page.line()
        page.wrapped(f"Not undone: {', '.join(one_line(readable(result.node)) for result in left)}.", colour=Colour.RED)


def _undo_output(page: Page, entry: RollbackEntry, run: str) -> None:
    """What an undo that failed said last, and where the rest of it is."""
    for line in lines_of(entry.tail)[-_TAIL_LINES:]:
        page.line(cut(f"    | {line}", page.columns))
    if entry.outcome not in WHOLE and entry.log:
        page.wrapped(f"    log: .shipway/runs/{one_line(run)}/logs/{one_line(entry.log)}", colour=Colour.DIM)


def _foot(page: Page, receipt: Receipt, plan: Plan | None) -> None:
    page.line()
    if receipt.critical_path:
        path = " → ".join(one_line(readable(node)) for node in receipt.critical_path)
        page.fact(
            "longest",
            f"{path}, {format_ms(receipt.critical_path_ms)} of {format_ms(receipt.running_ms)}",
            colour=Colour.DIM,
        )
    if parallelism(receipt):
        page.fact("at once", f"{parallelism(receipt)} nodes on average", colour=Colour.DIM)


def _next(receipt: Receipt, plan: Plan | None, again: str, going_on: Sequence[str], *, is_last: bool) -> list[str]:
    """What to type next, each a command and what for; none of a run in CI that succeeded, which nobody types behind."""
    preview = preview_next(receipt, plan)
    if preview:
        return preview.split("; ")
    run = one_line(receipt.run)
    if receipt.outcome is RunOutcome.SUCCEEDED:
        undoing = undoable(receipt, plan) if is_last and plan is not None else None
        what = "it" if undoing is Undoable.WHOLE else "what can be undone"
        hints = [f"shipway show {run}, to see this again"]
        hints += [f"shipway rollback {run}, to undo {what}"] if undoing else []
        return hints if receipt.by.invoker == "local" else []
    if receipt.outcome is RunOutcome.ROLLED_BACK:
        return [f"{again}, to do it again"]
    if not receipt.nodes:
        return [f"{again}, once the cause is gone"]  # nothing began: there is no run to go on with
    look = "look at what was not undone"
    may_work_now = any(result.outcome is not Outcome.NOT_UNDOABLE for result in not_undone(receipt))
    had_succeeded = all(own_outcome(result) in (*DONE, Outcome.SKIPPED) for result in receipt.nodes)
    if receipt.outcome is RunOutcome.NOT_UNDONE and had_succeeded:
        once_more = [f"shipway rollback {run}, to undo it"] if is_last and may_work_now else []
        return [f"{look}, then", *once_more, f"{again}, to do it again"]  # somebody wanted it undone
    if any(attempt.code == Reason.PREDICTION_BROKEN for result in receipt.failed for attempt in result.attempts[-1:]):
        return [f"{again.replace('run', 'plan', 1)}, to look at a new plan", f"{again}, to run that"]
    if not is_last:
        return [f"{again}, to run it anew"]
    if receipt.outcome is RunOutcome.NOT_UNDONE:
        if may_work_now:
            return [f"{look}, then", f"shipway rollback {run}, to undo it", f"{again}, to begin anew"]
        return [f"{look}, then", *(going_on or [f"shipway resume {run}, to go on"]), f"{again}, to begin anew"]
    when = "to go on" if receipt.outcome is RunOutcome.CANCELLED else "once the cause is gone"
    return [*(going_on or [f"shipway resume {run}, {when}"]), f"{again}, to begin anew"]
