"""`shipway plan`: what would be done, how sure that is, and what undoes it. Changes nothing."""

from __future__ import annotations

from argparse import Namespace

from shipway.canonical import canonical_bytes
from shipway.commands.documents import show_document, write_out
from shipway.commands.notes import noting
from shipway.commands.setting import Unreported, asked_of, heeding_signals, surroundings
from shipway.context import read_context
from shipway.errors import EXIT_CHANGES, EXIT_DONE
from shipway.lifecycle import run_lifecycle
from shipway.render import terminal
from shipway.workspace import write_atomically


def run(arguments: Namespace) -> int:
    """0, or 3 with --detailed-exitcode where there are changes. Raises what planning raised."""
    context = read_context()
    request, repository = asked_of(arguments, context)
    around = surroundings(context, repository, noting(arguments, context), Unreported())
    with heeding_signals(around.interruption):
        finished = run_lifecycle(request, around)
    if finished.error is not None:
        raise finished.error
    assert finished.plan is not None
    form = arguments.format or ("json" if arguments.json else "text")
    if arguments.output:
        path = context.cwd / arguments.output
        if arguments.format in (None, "json"):
            write_atomically(path, canonical_bytes(finished.plan.document), 0o644)
        else:
            write_atomically(
                path, show_document(finished.plan, form, context, terminal.standard_output()).encode(), 0o644
            )
    is_asked_for = arguments.json or (arguments.format is not None and not arguments.output)
    is_wanted = not arguments.quiet and not (arguments.format and arguments.output)
    if is_asked_for or is_wanted:
        write_out(show_document(finished.plan, form, context, terminal.standard_output()))
    return EXIT_CHANGES if arguments.detailed_exitcode and finished.plan.has_changes else EXIT_DONE
