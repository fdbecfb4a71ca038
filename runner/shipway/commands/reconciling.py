"""`--reconcile`: looks for drift, and asks for no more of the lifecycle than brings back what differs."""

from __future__ import annotations

import shlex
from argparse import Namespace

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json
from shipway.commands.drifting import DriftReport, find_drift
from shipway.commands.setting import Unreported, heeding_signals, surroundings
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.deviation import Found, counts
from shipway.errors import VerificationError
from shipway.events import Events
from shipway.lifecycle import check_lifecycle
from shipway.loading import load_declaration
from shipway.planning import Selection, select
from shipway.reconciliation import way_back
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.drift import words
from shipway.render.foreign import one_line
from shipway.repository import Repository
from shipway.undertaking import Request


class Reconciled(Struct, frozen=True):
    """The request for what differs only. `idle` says why there is nothing to do, and what to do instead; empty where there is."""

    request: Request
    lifecycle: str
    found: tuple[Found, ...]
    idle: str = ""


def reconciled(request: Request, arguments: Namespace, context: Context, repository: Repository) -> Reconciled:
    """What is to be done. Says what was found. Raises VerificationError where a receipt cannot be counted."""
    around = surroundings(context, repository, Events(), Unreported())
    declared = request.declared or load_declaration(request.file, root=repository.root, target=request.target)
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
    said = [f"drift: {words(report.found)}"] if report.found else []
    said += [
        f"not brought back, since it is not in the declaration any more: {each.entry.kind} {each.entry.name}"
        for each in back.lost
    ]
    _, nodes = select(whole.stages, whole.nodes, back.selection)
    idle = "" if nodes else _idle(report, request, declared, arguments)
    said += [idle] if idle else []
    terminal.write(terminal.standard_error(), trusted("".join(f"{one_line(line)}\n" for line in said)))
    asked = replace(request, selection=back.selection, reconciles=request.selection)
    return Reconciled(asked, declared.name, report.found, idle)


def idle_json(done: Reconciled) -> dict[str, Json]:
    """What a run says for machines that had nothing to bring back: there is no run and no receipt."""
    told = {drift.value: count for drift, count in counts(done.found).items()}
    return {"lifecycle": done.lifecycle, "target": done.request.target, "run": None, "counts": told, "why": done.idle}


def _idle(report: DriftReport, request: Request, declared: Declaration, arguments: Namespace) -> str:
    of = f"`{declared.name}` on `{request.target}`"
    if not report.found:
        file = f"-f {shlex.quote(arguments.file)} " if arguments.file else ""
        make = f"make it first with `shipway run {file}--target {request.target}`"
        where = "" if declared.state.store is not StateStore.LOCAL else ", here: `state` can keep receipts elsewhere"
        return f"there is nothing to reconcile: no receipt tells of anything of {of}{where}. To have something, {make}"
    if report.differs:
        return "there is nothing to reconcile: nothing of what differs can be brought back by what was asked for"
    return f"there is nothing to reconcile: {of} is as its receipts say, as far as anything can be asked"
