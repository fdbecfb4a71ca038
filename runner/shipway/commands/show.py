"""`shipway show`: a plan or a receipt, after its seal was checked."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from pathlib import Path

from shipway.canonical import Json, items_of, mapping
from shipway.commands.again import again_as_journalled
from shipway.commands.documents import read_document, show_document, write_out
from shipway.commands.going_on import going_on
from shipway.commands.setting import find_file, journal_of, lifecycle_in, root_here
from shipway.context import Context, read_context
from shipway.errors import Reason, UsageError, did_you_mean
from shipway.journal_file import JournalFile
from shipway.nodes import Outcome
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.details import render_details
from shipway.render.foreign import one_line
from shipway.run_record import RunStatus, RunSummary
from shipway.sealing import sealed
from shipway.state_fold import unix_ms
from shipway.workspace import Workspace


def run(arguments: Namespace) -> int:
    """0 where the document is whole. Raises VerificationError where it was altered, UsageError where there is none."""
    context = read_context()
    found = _found(arguments, context)
    document: Plan | Receipt
    if isinstance(found, Receipt):
        document = found
    else:
        document = _unsealed(found, context) if isinstance(found, str) else read_document(found)
    form = arguments.format or ("json" if arguments.json else "text")
    if arguments.quiet:
        return 0
    if isinstance(found, str) and isinstance(document, Receipt):
        summary = journal_of(root_here(context), context).find(found)
        if form == "text" and summary.is_alive:
            write_out(_running_text(document, context))
            return 0
        if form != "text" and (summary.is_alive or summary.has_crashed):
            write_out(_unended_json(document, summary, form))
            return 0
    kept_as = shlex.quote(str(arguments.document)) if arguments.document else ""
    if form == "text" and isinstance(document, Receipt):
        write_out(_receipt_text(document, context))
    else:
        write_out(show_document(document, form, context, terminal.standard_output(), kept_as=kept_as))
    if form == "text" and isinstance(document, Receipt):
        write_out(_timeline(document, context))
    if arguments.verbose and form == "text" and isinstance(document, Receipt):
        colour = terminal.standard_output().isatty() and not context.no_color
        write_out(render_details(document, colour=colour, columns=context.columns))
    return 0


_KNOWN_BEFORE_ITS_END = ("lifecycle", "target", "run", "plan", "effect", "started", "by", "source", "nodes", "rollback")


def _unended_json(document: Receipt, summary: RunSummary, form: str) -> str:
    """What the journal holds of a run that is in progress or was killed: no receipt, and nothing that only an end tells."""
    status = "killed" if summary.has_crashed else summary.status.value
    if form != "json":
        raise UsageError(f"run `{summary.run}` has no receipt yet: it is `{status}`", next="use --format text or json")
    held: dict[str, object] = {name: document.document[name] for name in _KNOWN_BEFORE_ITS_END}
    if summary.is_alive:
        held["nodes"] = [_now(node) for node in items_of(document.document["nodes"])]
    return json.dumps({"kind": "run", "status": status, **held}, ensure_ascii=False) + "\n"


def _now(node: Json) -> Json:
    fields = mapping(node)
    is_running = fields["outcome"] == Outcome.UNKNOWN.value
    return {**fields, "outcome": "running", "ended_ms": None} if is_running else node


def _running_text(document: Receipt, context: Context) -> str:
    from shipway.render.receipt_text import render_running  # late: no other form needs it

    return render_running(
        document,
        so_far_ms=max(0, int(context.now().timestamp() * 1000) - unix_ms(document.started)),
        colour=terminal.standard_output().isatty() and not context.no_color,
        columns=context.columns,
    )


def _receipt_text(receipt: Receipt, context: Context) -> str:
    """The receipt, and what is next for its run; of one that the journal here does not know, how to run it anew."""
    from shipway.render.receipt_text import render_receipt  # late: no other form needs it

    journal = journal_of(root_here(context), context)
    same = [each for each in journal.runs() if (each.lifecycle, each.target) == (receipt.lifecycle, receipt.target)]
    is_known = any(each.run == receipt.run for each in same)
    is_last = is_known and same[0].run == receipt.run and not same[0].is_alive
    plan = journal.plan(receipt.run) if is_known else None
    return render_receipt(
        receipt,
        plan,
        colour=terminal.standard_output().isatty() and not context.no_color,
        columns=context.columns,
        again=again_as_journalled(receipt.run, context),
        is_last=is_last,
        was_killed=is_last and same[0].has_crashed,
        was_undoing=is_last and same[0].has_crashed and same[0].status is RunStatus.ROLLING_BACK,
        surviving=_surviving(receipt.run, journal, context) if is_last and same[0].has_crashed else (),
        going_on=going_on(receipt, plan, context) if is_last else (),
    )


def _surviving(run: str, journal: JournalFile, context: Context) -> list[str]:
    from shipway.survivors import survivors_of  # late: only of a killed run somebody may be left

    directory = Workspace(root_here(context)).run_directory(run)
    return [survivor.node for survivor in survivors_of(journal.read(run), directory)]


def _timeline(receipt: Receipt, context: Context) -> str:
    from shipway.render import timeline  # late: no other form draws one

    stream = terminal.standard_output()
    locale = next(filter(None, map(context.env.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    marks = timeline.marks_for(stream.encoding, locale, context.env.get("TERM", ""))
    colour = stream.isatty() and not context.no_color
    return timeline.render_timeline(receipt, marks, colour=colour, columns=context.columns)


def _found(arguments: Namespace, context: Context) -> Path | str | Receipt:
    """The file that was named, else the receipt of the run that was named, or the run where it has none, else the last one."""
    if not arguments.document:
        return _unended(arguments, context) or _latest(arguments, context)
    path = context.cwd / str(arguments.document)
    return path if path.is_file() else _of_run(str(arguments.document), arguments, context)


def _unended(arguments: Namespace, context: Context) -> str:
    """The last run that was asked for, if it was killed or is in progress; else empty: then its receipt says more."""
    lifecycle = lifecycle_in(arguments, context) if arguments.file else None
    for summary in journal_of(root_here(context), context).runs():
        if lifecycle in (None, summary.lifecycle) and arguments.target in (None, summary.target):
            return summary.run if summary.is_alive or summary.has_crashed else ""
    return ""


def _unsealed(run: str, context: Context) -> Receipt:
    """What the journal holds of a run that left no receipt: one in progress, or killed."""
    journal = journal_of(root_here(context), context)
    summary = journal.find(run)
    word = "is in progress" if summary.is_alive else "was killed" if summary.has_crashed else "left no receipt"
    note = f"run {run} {word}: this is what the journal holds of it, and nothing is sealed\n"
    terminal.write(terminal.standard_error(), trusted(note))
    return sealed(journal.plan(run), journal.read(run), bytes(32))


def _of_run(run: str, arguments: Namespace, context: Context) -> Path | str | Receipt:
    kept = {_run_of(path): path for path in reversed(_kept(context))}
    if run in kept:
        return kept[run]
    if any(summary.run == run for summary in journal_of(root_here(context), context).runs()):
        return run
    stored = _stored(run, arguments, context)
    if stored is not None:
        return _from_store(*stored)
    last = f"the last run was `{next(reversed(kept))}`" if kept else "no run left a receipt here yet"
    raise UsageError(
        f"`{run}` is neither a file nor a run whose receipt is here",
        reason=Reason.DOCUMENT_INVALID,
        next=did_you_mean(run, kept) or last,
    )


def _stored(run: str | None, arguments: Namespace, context: Context) -> tuple[Receipt, str] | None:
    """The last receipt of a run, or of all that were asked for, in the store of the declaration here, and what that is called."""
    from shipway.commands.stored_runs import stored_runs  # late: what is kept here needs none of it

    try:
        file = find_file(arguments, context)
    except UsageError:
        return None
    stored = stored_runs(file, arguments.target, context)
    found = [each.last for each in stored.runs if each.last is not None and run in (None, each.run)]
    if stored.trouble:
        _note(f"{stored.place}: {stored.trouble}")
    return (found[-1], stored.place) if found else None


def _from_store(receipt: Receipt, place: str) -> Receipt:
    actor = f" by {receipt.by.actor}" if receipt.by.actor else ""
    _note(f"run {receipt.run}{actor} is kept in {place}, and not here")
    return receipt


def _note(text: str) -> None:
    terminal.write(terminal.standard_error(), trusted(one_line(text) + "\n"))


def _latest(arguments: Namespace, context: Context) -> Path | Receipt:
    """The receipt that was sealed last, of the lifecycle and for the target that were asked for.

    The store is looked into as well where a lifecycle or target was named, and where there is none here.
    """
    lifecycle = lifecycle_in(arguments, context) if arguments.file else None
    here = next((path for path in _kept(context) if _is_of(path, lifecycle, arguments.target)), None)
    if here is not None and lifecycle is None and arguments.target is None:
        return here
    stored = _stored(None, arguments, context)
    if stored is not None and not (here and _is_as_late(here, stored[0])):
        return _from_store(*stored)
    if here is not None:
        return here
    of = f" of `{lifecycle}`" if lifecycle else ""
    towards = f" for the target `{arguments.target}`" if arguments.target else ""
    raise UsageError(
        f"there is no receipt{of}{towards} in `{root_here(context)}`",
        reason=Reason.DOCUMENT_INVALID,
        next=_without_receipt(arguments, context) or "make one with `shipway run`, or name a file",
    )


def _is_as_late(path: Path, other: Receipt) -> bool:
    document = read_document(path)
    return isinstance(document, Receipt) and unix_ms(document.ended) >= unix_ms(other.ended)


def _without_receipt(arguments: Namespace, context: Context) -> str:
    """What to type for the last run, where none that was asked for has left a receipt yet; or empty."""
    if arguments.file:
        return ""
    runs = journal_of(root_here(context), context).runs()
    last = next((run.run for run in runs if arguments.target in (None, run.target)), "")
    return f"the last run left none: `shipway show {last}` shows what the journal holds of it" if last else ""


def _kept(context: Context) -> list[Path]:
    return Workspace(root_here(context)).kept_receipts()


def _run_of(path: Path) -> str:
    """The run id in a receipt's name: its last two parts. See `receipt.file_name`."""
    *_, moment, rest = path.stem.split("-")
    return f"{moment}-{rest.partition('.')[0]}"


def _is_of(path: Path, lifecycle: str | None, target: str | None) -> bool:
    """Whether a receipt is of that lifecycle and target. The document is asked, for names may hold `-` themselves."""
    if not path.name.startswith(f"{lifecycle}-" if lifecycle else "") or f"-{target or ''}" not in path.name:
        return False
    document = read_document(path)
    return lifecycle in (None, document.lifecycle) and target in (None, document.target)
