"""`--reconcile`: looks for drift, and asks for no more of the lifecycle than brings back what differs."""

from __future__ import annotations

from argparse import Namespace

from msgspec.structs import replace

from shipway import declaration
from shipway.commands.drifting import find_drift
from shipway.commands.setting import Unreported, heeding_signals, surroundings
from shipway.context import Context
from shipway.errors import VerificationError
from shipway.events import Events
from shipway.lifecycle import check_lifecycle
from shipway.planning import Selection
from shipway.reconciliation import way_back
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.drift import words
from shipway.render.foreign import one_line
from shipway.repository import Repository
from shipway.undertaking import Request


def reconciled(request: Request, arguments: Namespace, context: Context, repository: Repository) -> Request:
    """The request for what differs only. Says what was found. Raises VerificationError where a receipt cannot be counted."""
    around = surroundings(context, repository, Events(), Unreported())
    declared = request.declared or declaration.load(request.file, root=repository.root, target=request.target)
    with heeding_signals(around.interruption):
        report = find_drift(declared, request.target, context, repository, around.interruption)
    if report.findings:
        raise VerificationError(
            f"what should be there is not known: {report.findings[0].place}: {report.findings[0].text}",
            reason=report.findings[0].reason,
            next="see `shipway state`, and bring the receipt back from where it is kept as well",
        )
    whole = check_lifecycle(replace(request, selection=Selection()), around)
    back = way_back(whole, report.found, request.selection)
    said = [f"drift: {words(report.found)}"]
    said += [
        f"not brought back, since it is not in the declaration any more: {each.entry.kind} {each.entry.name}"
        for each in back.lost
    ]
    terminal.write(terminal.standard_error(), trusted("".join(f"{one_line(line)}\n" for line in said)))
    # Whoever keeps the plan is told to apply it with the same part left out.
    arguments.skip = list(back.selection.skip)
    return replace(request, selection=back.selection)
