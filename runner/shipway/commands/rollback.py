"""`shipway rollback`: undo later what a run did, as the journal has it."""

from __future__ import annotations

from argparse import Namespace

from shipway.bodies import regrown
from shipway.commands.documents import write_out
from shipway.commands.resume import learn_elsewhere
from shipway.commands.run import said_yes, voyage
from shipway.commands.setting import (
    find_file,
    journal_of,
    refuse_on_windows,
    refuse_strangers,
    repository_of,
    root_here,
)
from shipway.context import Context, read_context
from shipway.errors import Reason, UsageError
from shipway.journal_file import JournalFile, held
from shipway.plan import Plan
from shipway.render.rollback import render_rollback
from shipway.run_record import RunRecord, RunSummary
from shipway.takeback import to_undo
from shipway.takeover import GoOn
from shipway.undertaking import Request


def run(arguments: Namespace) -> int:
    """0 where all of it was undone, 4 where something was not. Raises ShipwayError where nothing was touched."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    journal = journal_of(root_here(context), context)
    learn_elsewhere(arguments, context)
    summary = journal.find(arguments.run) if arguments.run else _last(journal, arguments.target)
    if summary.is_alive:
        raise held(summary)
    record = journal.read(summary.run)
    if not arguments.file:
        arguments.file = str(root_here(context) / record.opening.file)
    file = find_file(arguments, context)
    request = Request(
        file,
        record.opening.target,
        execute=True,
        go_on=GoOn(summary.run, undo=True, accepts_drift=arguments.drifted),
        confirm=lambda plan: _confirmed(plan, record, arguments, context),
    )
    return voyage(request, arguments, context, repository_of(file, context))


def _last(journal: JournalFile, target: str | None) -> RunSummary:
    """The last run, of the target if one was named, of which something is left to undo."""
    runs = [summary for summary in journal.runs() if target in (None, summary.target)]
    for summary in runs:
        if summary.is_alive or to_undo(journal.plan(summary.run), journal.read(summary.run)):
            return summary
    towards = f" for the target `{target}`" if target else ""
    raise UsageError(
        f"no run{towards} left anything that could be undone", reason=Reason.RUN_UNKNOWN, next="see `shipway runs`"
    )


def _confirmed(plan: Plan, record: RunRecord, arguments: Namespace, context: Context) -> bool:
    order, run = to_undo(plan, record), record.summary.run
    if not arguments.json and not arguments.quiet:
        plan = regrown(plan, record, lambda action: {})
        colour = context.stdout_is_tty and not context.no_color
        write_out(render_rollback(plan, order, run, colour=colour, columns=context.columns) + "\n")
    if arguments.yes:
        return True
    undone = {node.id for node in (*(node for node in plan.nodes if node.reversible), *plan.compensations)}
    if undone.isdisjoint(order):
        raise UsageError(
            f"nothing of run `{run}` can be undone, so there is nothing to confirm",
            next=f"`shipway show {run}` says what it did; what is to be taken back needs an `undo` before it is run",
        )
    if not context.stdin_is_tty:
        raise UsageError(
            "there is no terminal to ask on; nothing was undone", reason=Reason.NOT_CONFIRMED, next="say `--yes`"
        )
    return said_yes(f"Undo this on {plan.target}?")
