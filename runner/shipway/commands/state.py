"""`shipway state`: what exists by its receipts, what was done to it, and what is where. Changes nothing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from shipway.attestation import Endorsement
from shipway.canonical import Json
from shipway.commands.anchors import anchor_here
from shipway.commands.documents import write_out
from shipway.commands.kept_receipts import Archive, Finding, Gathered, finding_json, gather
from shipway.commands.setting import find_file, repository_of, root_here
from shipway.commands.state_cache import current_state
from shipway.commands.stores import receipts_of
from shipway.context import Context, read_context
from shipway.declaration import Declaration
from shipway.durations import parse_ms
from shipway.errors import EXIT_DONE, EXIT_UNVERIFIED, Reason, UsageError
from shipway.loading import load_declaration
from shipway.promotion import gap_after, proves
from shipway.redaction import trusted
from shipway.registry import Registry
from shipway.render import terminal
from shipway.render.foreign import one_line
from shipway.render.state import render_entries, render_trees, render_whereabouts
from shipway.repository import Repository, open_repository
from shipway.signer import SigningTools
from shipway.state import State, Wanted, entry_json
from shipway.state_fold import fold, unix_ms
from shipway.whereabouts import Whereabouts, whereabouts, whereabouts_json


class Subject(Struct, frozen=True):
    """A declaration with its file and checkout."""

    file: Path
    declared: Declaration
    repository: Repository


def run(arguments: Namespace) -> int:
    """0, or 5 where a receipt cannot be counted: what is shown is then what the others tell. Raises ShipwayError."""
    context = read_context()
    file, declared, repository = _subject(arguments, context)
    wanted = _wanted(arguments, context)
    if not arguments.targets and _is_plain(arguments, wanted):
        state, findings = current_state(Archive(declared, arguments.target, context, repository), keep=True)
        _show_state(arguments, state, findings, context)
        return _told(findings)
    # Whether a target may go on, the receipts of others tell.
    found = gather(declared, None if arguments.targets else arguments.target, context, repository)
    if arguments.targets:
        if file is None or declared is None:
            raise UsageError("`--targets` needs a declaration", next="name one with `-f FILE`")
        _show_targets(arguments, Subject(file, declared, repository), found, context)
    else:
        _show_state(arguments, fold(found.tellings, wanted), found.findings, context)
    return _told(found.findings)


def _is_plain(arguments: Namespace, wanted: Wanted) -> bool:
    """Whether all that is asked for is what exists now: no history, no time, no part of the records."""
    is_part = wanted != Wanted(target=arguments.target)
    return not (arguments.history or arguments.all or is_part)


def _told(findings: Sequence[Finding]) -> int:
    """Say on standard error what could not be counted; the exit code."""
    for finding in findings:
        said = one_line(f"not counted: {finding.place}: {finding.text} ({finding.reason.value})")
        terminal.write(terminal.standard_error(), trusted(said + "\n"))
    return EXIT_UNVERIFIED if findings else EXIT_DONE


def _subject(arguments: Namespace, context: Context) -> tuple[Path | None, Declaration | None, Repository]:
    """The declaration's file, what it says, and its checkout; without one it is about all that was run in this checkout."""
    try:
        file = find_file(arguments, context)
    except UsageError as error:
        if arguments.file or error.reason is not Reason.DECLARATION_MISSING:
            raise
        return None, None, open_repository(root_here(context), context.env)
    repository = repository_of(file, context)
    return file, load_declaration(file, root=repository.root, target=arguments.target), repository


def _wanted(arguments: Namespace, context: Context) -> Wanted:
    now_ms = int(context.now().timestamp() * 1000)
    return Wanted(
        since_ms=_moment(arguments.since, "--since", now_ms),
        until_ms=_moment(arguments.until, "--until", now_ms),
        target=arguments.target,
        kind=arguments.kind,
        tool=arguments.tool,
        project=arguments.project,
    )


def _moment(text: str | None, option: str, now_ms: int) -> int | None:
    """Unix milliseconds of a date, a time, or of so long ago."""
    if text is None:
        return None
    try:
        return now_ms - parse_ms(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"`{option} {text}` is no time", next="write `2026-03-01`, `2026-03-01T12:00:00Z`, or how long ago: `7d`"
        ) from None
    return unix_ms((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())


def _show_state(arguments: Namespace, state: State, findings: Sequence[Finding], context: Context) -> None:
    entries = state.entries if arguments.all or arguments.history else state.existing()
    if arguments.json:
        data: Json = {
            "receipts": state.receipts,
            "entries": [entry_json(entry, with_history=arguments.history) for entry in entries],
            "findings": [finding_json(finding) for finding in findings],
        }
        write_out(json.dumps(data, ensure_ascii=False) + "\n")
        return
    if arguments.quiet:
        return
    stream = terminal.standard_output()
    colour = stream.isatty() and not context.no_color
    columns = context.columns if stream.isatty() else 1000
    if arguments.tree:
        shown = render_trees(entries, colour=colour, columns=columns)
    else:
        shown = render_entries(entries, with_history=arguments.history, colour=colour, columns=columns)
    write_out(shown or ("no receipt tells of anything\n" if not state.entries else "nothing of that exists\n"))


def _show_targets(arguments: Namespace, subject: Subject, found: Gathered, context: Context) -> None:
    declared = subject.declared
    places = whereabouts(telling.receipt for telling in found.tellings)
    concrete = [name for name in declared.targets or () if "*" not in name]
    names = [name for name in dict.fromkeys([*concrete, *places]) if arguments.target in (None, name)]
    waits = {name: list(_unproven(name, subject, context)) for name in names}
    if arguments.json:
        data: Json = {
            "targets": {
                name: {
                    **whereabouts_json(places.get(name, Whereabouts())),
                    "after": list(declared.target_rule(name).after),
                    "waits_for": waits[name],
                }
                for name in names
            },
            "findings": [finding_json(finding) for finding in found.findings],
        }
        write_out(json.dumps(data, ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        stream = terminal.standard_output()
        rows = [(name, places.get(name, Whereabouts()), _words(name, declared, waits)) for name in names]
        columns = context.columns if stream.isatty() else 1000
        shown = render_whereabouts(rows, colour=stream.isatty() and not context.no_color, columns=columns)
        write_out(shown or "no target was run on yet\n")


def _unproven(target: str, subject: Subject, context: Context) -> Iterator[str]:
    """The targets on which the tree of this checkout has to succeed first, and has not."""
    repository = subject.repository
    tree = None if repository.changed else repository.tree
    tools = SigningTools(repository.root, context.home, context.env, {})
    endorsement = Endorsement([(subject.declared.signing, None)], Registry().make_signer, tools)
    for name in subject.declared.target_rule(target).after:
        there = load_declaration(subject.file, root=repository.root, target=name)
        kept = list(receipts_of(there, name, context, repository))  # unsigned ones too, as a run asks them
        proof = proves(kept, tree, there, name, endorsement.counts) if tree is not None else None
        anchors = anchor_here(there, name, repository.root)
        if proof is None or (endorsement.is_required and gap_after(proof, kept, anchors)):
            yield name


def _words(target: str, declared: Declaration, waits: Mapping[str, Sequence[str]]) -> str:
    if not declared.target_rule(target).after:
        return ""
    names = ", ".join(waits[target])
    return f"waits for {names}" if names else "takes this tree"
