"""`shipway cancel RUN`: stop a run that another process carries out, or give up one whose process was killed."""

from __future__ import annotations

import json
import os
import signal
from argparse import Namespace
from contextlib import suppress

from shipway.commands.clearing import seal_killed
from shipway.commands.documents import write_out
from shipway.commands.runs import standing
from shipway.commands.setting import journal_of, root_here
from shipway.context import Context, read_context
from shipway.errors import EXIT_DONE, Reason, UnreachableError, UsageError
from shipway.journal_file import JournalFile
from shipway.process_identity import is_running, machine_name
from shipway.run_record import RunSummary

_POLL_MS = 50
_PATIENCE_MS = 30_000


def run(arguments: Namespace) -> int:
    """0 once it has stopped. Raises UsageError for one that has ended, UnreachableError for one that does not stop."""
    context = read_context()
    root = root_here(context)
    journal = journal_of(root, context)
    summary = journal.find(arguments.run)
    if summary.has_crashed:
        seal_killed(journal, summary, root, context, cancelled=True)
    elif summary.is_alive:
        _stop(journal, summary, context)
    else:
        raise UsageError(
            f"run `{summary.run}` has ended: {standing(summary)}", next=f"see it with `shipway show {summary.run}`"
        )
    status = journal.find(summary.run).status.value
    if arguments.json:
        write_out(json.dumps({"run": summary.run, "status": status}) + "\n")
    elif not arguments.quiet:
        write_out(f"run {summary.run} has ended: {status.replace('_', ' ')}\n")
    return EXIT_DONE


def _stop(journal: JournalFile, summary: RunSummary, context: Context) -> None:
    """Ask its owner, by the journal and, where it is on this machine, by a signal; wait until it has ended."""
    journal.ask_cancel(summary.run)
    owner = summary.owner
    if owner.machine == machine_name() and is_running(owner.pid, owner.started):
        with suppress(OSError):
            os.kill(owner.pid, signal.SIGTERM)
    waited = 0
    while journal.find(summary.run).is_alive:
        if waited >= _PATIENCE_MS:
            raise UnreachableError(
                f"run `{summary.run}` was told to stop and has not ended yet (process {owner.pid})",
                reason=Reason.LOCK_HELD,
                next="what it undoes may take that long: see it with `shipway runs`",
            )
        context.sleep(_POLL_MS / 1000)
        waited += _POLL_MS
