"""`shipway show`: a plan or a receipt, after its seal was checked."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

from shipway import declaration
from shipway.commands.documents import read_document, show_document, write_out
from shipway.commands.setting import find_file, journal_of, repository_of, root_here
from shipway.context import Context, read_context
from shipway.declaration import StateStore
from shipway.errors import Reason, UsageError, did_you_mean
from shipway.plan import Plan
from shipway.receipt import Receipt
from shipway.redaction import trusted
from shipway.render import terminal
from shipway.render.details import render_details
from shipway.sealing import sealed
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
    kept_as = shlex.quote(str(arguments.document)) if arguments.document else ""
    write_out(show_document(document, form, context, terminal.standard_output(), kept_as=kept_as))
    if form == "text" and isinstance(document, Receipt):
        write_out(_timeline(document, context))
    if arguments.verbose and form == "text" and isinstance(document, Receipt):
        colour = terminal.standard_output().isatty() and not context.no_color
        write_out(render_details(document, colour=colour, columns=context.columns))
    return 0


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
    return path if path.is_file() else _of_run(str(arguments.document), context)


def _unended(arguments: Namespace, context: Context) -> str:
    """The last run that was asked for, if it was killed or is in progress; else empty: then its receipt says more."""
    lifecycle = _lifecycle(arguments, context) if arguments.file else None
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


def _of_run(run: str, context: Context) -> Path | str | Receipt:
    kept = {_run_of(path): path for path in reversed(_kept(context))}
    if run in kept:
        return kept[run]
    if any(summary.run == run for summary in journal_of(root_here(context), context).runs()):
        return run
    stored = _stored(run, context)
    if stored is not None:
        return stored
    last = f"the last run was `{next(reversed(kept))}`" if kept else "no run left a receipt here yet"
    raise UsageError(
        f"`{run}` is neither a file nor a run whose receipt is here",
        reason=Reason.DOCUMENT_INVALID,
        next=did_you_mean(run, kept) or last,
    )


def _stored(run: str, context: Context) -> Receipt | None:
    """The last receipt of a run that the store of the declaration here has; None where neither is there."""
    from shipway.commands.kept_receipts import gather  # late: what is kept here needs none of it

    try:
        file = find_file(Namespace(file=None), context)
        repository = repository_of(file, context)
        declared = declaration.load(file, root=repository.root)
    except UsageError:
        return None
    if declared.state.store is StateStore.LOCAL:
        return None
    told = [each.receipt for each in gather(declared, None, context, repository).tellings if each.receipt.run == run]
    return told[-1] if told else None


def _latest(arguments: Namespace, context: Context) -> Path:
    """The receipt that was sealed last, of the lifecycle and for the target that were asked for."""
    lifecycle = _lifecycle(arguments, context) if arguments.file else None
    for path in _kept(context):
        if _is_of(path, lifecycle, arguments.target):
            return path
    of = f" of `{lifecycle}`" if lifecycle else ""
    towards = f" for the target `{arguments.target}`" if arguments.target else ""
    raise UsageError(
        f"there is no receipt{of}{towards} in `{root_here(context)}`",
        reason=Reason.DOCUMENT_INVALID,
        next=_without_receipt(arguments, context) or "make one with `shipway run`, or name a file",
    )


def _without_receipt(arguments: Namespace, context: Context) -> str:
    """What to type for the last run, where none that was asked for has left a receipt yet; or empty."""
    if arguments.file:
        return ""
    runs = journal_of(root_here(context), context).runs()
    last = next((run.run for run in runs if arguments.target in (None, run.target)), "")
    return f"the last run left none: `shipway show {last}` shows what the journal holds of it" if last else ""


def _lifecycle(arguments: Namespace, context: Context) -> str:
    file = find_file(arguments, context)
    return declaration.load(file, root=repository_of(file, context).root).name


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
