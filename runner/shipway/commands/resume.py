"""`shipway resume`: go on with a run that failed, was stopped, or was killed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from shipway.bodies import regrown
from shipway.commands.documents import write_out
from shipway.commands.going_on import reopening_of
from shipway.commands.run import confirmed, said_yes, voyage
from shipway.commands.setting import (
    find_file,
    journal_of,
    refuse_on_windows,
    refuse_strangers,
    repository_of,
    root_here,
)
from shipway.commands.stores import fetch_runs
from shipway.context import Context, read_context
from shipway.continuation import undecided
from shipway.declaration import Declaration
from shipway.errors import Reason, UsageError
from shipway.journal_file import JournalFile, held
from shipway.loading import load_declaration
from shipway.node_ids import bodies_of, meant
from shipway.plan import Plan
from shipway.planning import Selection
from shipway.render.rollback import render_rollback
from shipway.reopening import Fate, Reopening, Wish
from shipway.replay import undos_of
from shipway.run_record import RunRecord, RunStatus, RunSummary
from shipway.takeover import GoOn
from shipway.undertaking import Request

_FINISHED = frozenset({RunStatus.SUCCEEDED, RunStatus.ROLLED_BACK})


def run(arguments: Namespace) -> int:
    """The exit code of the run that was gone on with. Raises ShipwayError where it cannot be."""
    return go_on(arguments, lambda journal, name: _wish(arguments))


def go_on(arguments: Namespace, wish: Callable[[JournalFile, str], Wish]) -> int:
    """Go on with the run that was asked for; `wish` says how, given the journal and the id of the run."""
    context = read_context()
    refuse_on_windows(context)
    refuse_strangers(context)
    journal = journal_of(root_here(context), context)
    declared = learn_elsewhere(arguments, context)
    summary = journal.find(arguments.run) if arguments.run else _last(journal, arguments)
    if summary.is_alive:
        raise held(summary)
    if arguments.target not in (None, summary.target):
        raise UsageError(f"run `{summary.run}` is for the target `{summary.target}`, not `{arguments.target}`")
    if summary.status is RunStatus.SUCCEEDED and not getattr(arguments, "start_from", None):
        raise UsageError(
            f"run `{summary.run}` succeeded: there is nothing to go on with",
            next=f"`shipway resume {summary.run} --from STEP` runs a part of it again; `shipway run` begins a new one",
        )
    wished = _as_meant(wish(journal, summary.run), journal, summary.run)
    return _gone_on(journal, summary.run, wished, declared, arguments, context)


def _as_meant(wish: Wish, journal: JournalFile, run: str) -> Wish:
    """With the ids of the nodes that were named as they are shown; the plan is read only for a name with a key."""
    if not any("[" in name for name in (*wish.assumed, wish.start_from or "")):
        return wish
    ids = journal.plan(run).by_id
    assumed = {meant(node, ids): is_done for node, is_done in wish.assumed.items()}
    return Wish(assumed, wish.start_from and meant(wish.start_from, ids))


def learn_elsewhere(arguments: Namespace, context: Context) -> Declaration | None:
    """Learn of runs on other machines, where the declaration that is named, or the one around here, keeps them elsewhere.

    Gives that declaration, if there is one here.
    """
    try:
        file = find_file(arguments, context)
    except UsageError:
        if arguments.file:
            raise
        return None  # the run names its declaration; of one that is not here nothing can be kept elsewhere
    repository = repository_of(file, context)
    declared = load_declaration(file, root=repository.root, target=arguments.target)
    fetch_runs(declared, arguments.target, context, repository)
    return declared


def _gone_on(
    journal: JournalFile, run: str, wish: Wish, declared: Declaration | None, arguments: Namespace, context: Context
) -> int:
    opening = journal.opening(run)
    if not arguments.file:
        arguments.file = str(root_here(context) / opening.file)
    file = find_file(arguments, context)
    request = Request(
        file,
        opening.target,
        inputs=opening.inputs,
        selection=Selection(opening.stages, opening.skipped),
        execute=True,
        declared=declared,
        go_on=GoOn(run, wish),
        confirm=lambda plan: _confirmed(plan, run, lambda: journal.read(run), wish, arguments, context),
    )
    return voyage(request, arguments, context, repository_of(file, context))


def _confirmed(
    plan: Plan, run: str, read: Callable[[], RunRecord], wish: Wish, arguments: Namespace, context: Context
) -> bool:
    """Show what is still to be done, and ask on a terminal. Raises VerificationError where a person has to look first."""
    if arguments.json or arguments.quiet or arguments.yes:
        return confirmed(plan, arguments, context, must_ask=False, going_on=run)
    record = read()
    if record.summary.status is RunStatus.ROLLING_BACK:
        return _confirmed_undoing(plan, record, context)
    found = reopening_of(plan, record, wish, context)
    if found.undecided:
        raise undecided(found.undecided, run)
    return confirmed(plan, arguments, context, must_ask=False, going_on=run, kept=_kept(plan, found))


def _kept(plan: Plan, reopening: Reopening) -> frozenset[str]:
    """The nodes that are done, groups only with all of their members."""
    opened = {node for node, fate in reopening.fates.items() if fate is not Fate.KEEP}
    around = {body for node in opened for body in bodies_of(node)}
    return frozenset(node.id for node in plan.nodes if node.id not in around and node.id not in opened)


def _confirmed_undoing(plan: Plan, record: RunRecord, context: Context) -> bool:
    """Of a run that was killed in its rollback, that is what goes on."""
    run, undone = record.summary.run, {entry.node for entry in undos_of(record, {})}
    plan = regrown(plan, record, lambda action: {})
    left = [node for node in record.undoing if node not in undone]
    colour = context.stdout_is_tty and not context.no_color
    write_out(render_rollback(plan, left, run, colour=colour, columns=context.columns) + "\n")
    return not context.stdin_is_tty or said_yes(f"Go on undoing run {run} on {plan.target}?")


def _last(journal: JournalFile, arguments: Namespace) -> RunSummary:
    """The last run of a lifecycle and target, of that target if one was named, that can be gone on with."""
    # A part of a run that succeeded can be run again, if it is said from where.
    over = _FINISHED - ({RunStatus.SUCCEEDED} if getattr(arguments, "start_from", None) else set())
    seen = set()
    for summary in journal.runs():
        is_last = (summary.lifecycle, summary.target) not in seen
        seen.add((summary.lifecycle, summary.target))
        if is_last and arguments.target in (None, summary.target) and summary.status not in over:
            return summary
    towards = f" for the target `{arguments.target}`" if arguments.target else ""
    raise UsageError(
        f"no run{towards} failed or was stopped: there is nothing to go on with",
        reason=Reason.RUN_UNKNOWN,
        next="see `shipway runs`",
    )


def _wish(arguments: Namespace) -> Wish:
    assumed: dict[str, bool] = {}
    for word, node in arguments.assume:
        if word not in ("done", "not-done"):
            raise UsageError(f"`--assume {word}` is neither `done` nor `not-done`", next="see `shipway resume --help`")
        assumed[node] = word == "done"
    return Wish(assumed, arguments.start_from)
