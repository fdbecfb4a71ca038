"""`shipway follow`: what happens in a run that another process carries out, from where somebody left off. Changes nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.runs import standing
from shipway.commands.setting import journal_of, root_here
from shipway.context import Context, read_context
from shipway.errors import EXIT_DONE, EXIT_FAILED, Reason, UsageError
from shipway.following import Cursor, Moment, read_cursor, since
from shipway.journal_file import JournalFile
from shipway.receipt import EXIT_CODES, RunOutcome
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.foreign import one_line
from shipway.render.runs import render_moment
from shipway.run_record import UNFINISHED, RunSummary

_PAUSE_S = 0.5


def run(arguments: Namespace) -> int:
    """How the run ended, as its own exit code; 0 with --once. Raises UsageError where there is no such run."""
    context = read_context()
    journal = journal_of(root_here(context), context)
    cursor = _cursor(arguments, journal)
    while True:
        # How the run stands is read first: whatever happened before it ended is on disk then.
        summary = journal.find(cursor.run)
        moments, cursor = since(cursor, journal.attempts(cursor.run, cursor.last, cursor.open))
        is_over = summary.status not in UNFINISHED or summary.has_crashed
        if arguments.json and (moments or is_over or arguments.once):
            write_out(json.dumps(_told(summary, moments, cursor), ensure_ascii=False) + "\n")
        elif not arguments.json:
            _show(moments, context)
        if is_over or arguments.once:
            break
        context.sleep(_PAUSE_S)
    if not arguments.json and not arguments.quiet:
        said = f"run {summary.run} {'is' if summary.is_alive else 'ended:'} {standing(summary)}; go on with --since {cursor}"
        terminal.write(terminal.standard_error(), trusted(one_line(said) + "\n"))
    return EXIT_DONE if arguments.once else _exit_code(summary)


def _cursor(arguments: Namespace, journal: JournalFile) -> Cursor:
    if not arguments.since:
        return Cursor(journal.find(arguments.run).run if arguments.run else _last(journal))
    try:
        cursor = read_cursor(arguments.since)
    except ValueError as error:
        raise UsageError(f"`--since`: {error}", next="take the one that an earlier call ended with") from None
    if arguments.run not in (None, cursor.run):
        raise UsageError(f"the cursor is of run `{cursor.run}`, not of `{arguments.run}`", next="name one of the two")
    return cursor


def _last(journal: JournalFile) -> str:
    """The run that is in progress, else the last one."""
    runs = journal.runs()
    if not runs:
        raise UsageError("no run was begun here yet", reason=Reason.RUN_UNKNOWN, next="begin one with `shipway run`")
    return next((summary.run for summary in runs if summary.is_alive), runs[0].run)


def _show(moments: Sequence[Moment], context: Context) -> None:
    stream = terminal.standard_output()
    colour = stream.isatty() and not context.no_color
    columns = context.columns if stream.isatty() else 1000
    lines = [
        render_moment(
            each.tried.node,
            each.tried.verb.value,
            each.outcome,
            at_ms=each.at_ms,
            took_ms=each.at_ms - each.tried.started_ms,
            number=each.tried.number,
            error=each.tried.error if each.outcome else "",
            colour=colour,
            columns=columns,
        )
        for each in moments
    ]
    write_out("".join(lines))


def _told(summary: RunSummary, moments: Sequence[Moment], cursor: Cursor) -> dict[str, Json]:
    ended = Counter(each.outcome.value for each in moments if each.outcome is not None)
    counts: dict[str, Json] = {"started": sum(each.outcome is None for each in moments), "ended": ended.total()}
    return {
        "run": summary.run,
        "status": "killed" if summary.has_crashed else summary.status.value,
        "cursor": str(cursor),
        "counts": {**counts, "outcomes": dict(ended)},
        "events": [_event(each) for each in moments],
    }


def _event(moment: Moment) -> dict[str, Json]:
    return {
        "at_ms": moment.at_ms,
        "event": "started" if moment.outcome is None else "ended",
        "node": moment.tried.node,
        "verb": moment.tried.verb.value,
        "attempt": moment.tried.number,
        "outcome": None if moment.outcome is None else moment.outcome.value,
        "error": moment.tried.error if moment.outcome is not None else "",
    }


def _exit_code(summary: RunSummary) -> int:
    return EXIT_FAILED if summary.has_crashed else EXIT_CODES[RunOutcome(summary.status.value)]
