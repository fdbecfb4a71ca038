"""What exists now, folded from the receipts that are new since the last time: the rest is in a file below `.shipway`.

The file holds nothing that receipts do not, and may be removed at any time. It is used only where each receipt that it was made of
is there as it was; where anything else is not as expected, all receipts are read and verified again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from shipway import __version__
from shipway.canonical import Json
from shipway.commands.kept_receipts import Archive, Finding, Gathered, Source, gathered
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import ShipwayError, VerificationError
from shipway.nodes import Change, Outcome
from shipway.repository import Repository
from shipway.state import Entry, HistoryRecord, Identity, Standing, State
from shipway.state_fold import Telling, fold, in_chain_order, later

_SCHEMA = 1


class _Record(Struct, frozen=True, array_like=True):
    at_ms: int
    receipt: str
    run: str
    commit: str
    node: str
    action: str
    outcome: Outcome
    standing: Standing | None
    change: Change | None
    present: bool
    fingerprint: str
    facts: dict[str, object]


class _Kept(Struct, frozen=True, array_like=True):
    """`sources` is the digest of a receipt and the stamp of its place, by place; `entries` are without their history."""

    schema: int
    version: str
    scope: str
    sources: dict[str, tuple[str, str]]
    entries: list[tuple[tuple[str, str, str, str], Standing, _Record | None]]


def current_state(archive: Archive, *, keep: bool) -> tuple[State, tuple[Finding, ...]]:
    """What exists by the receipts of an archive, entries without history; and what was found wrong with receipts.

    With `keep` it is kept for the next time. Raises ShipwayError where the store cannot be read.
    """
    sources = list(archive.sources())
    kept = _load(archive)
    fresh = None if kept is None else _onto(kept, sources, archive)
    if fresh is None:
        whole = gathered(archive, sources)
        state = fold(whole.tellings)
        fresh = _of(whole, state, sources, archive) if keep else None
        if fresh is None:
            return state, whole.findings
    else:
        state = _state(fresh)
    if keep and archive.scope and fresh != kept:
        with suppress(ShipwayError):  # the next time is slower, and that is all
            archive.workspace.write_cache(_name(archive), msgspec.msgpack.encode(fresh))
    return state, ()


def prior_state(
    declared: Declaration,
    target: str,
    context: Context,
    repository: Repository,
    *,
    keep: bool = False,
    without: str = "",
) -> State:
    """What exists in a target before a run. Raises VerificationError where a receipt cannot be counted: it may have removed it.

    With `keep` it is kept, so that the next run reads the receipts that came since, and no other. `without` is the run that is
    gone on with, empty for a new one: what it has done so far is not before it, and a plan of the same has the same effect.
    """
    archive = Archive(declared, target, context, repository)
    state, findings = current_state(archive, keep=keep)
    if without and any(entry.by is not None and entry.by.run == without for entry in state.entries):
        whole = gathered(archive, list(archive.sources()))
        state, findings = fold(each for each in whole.tellings if each.receipt.run != without), whole.findings
    if findings:
        raise VerificationError(
            f"what exists is not known: {findings[0].place}: {findings[0].text}",
            reason=findings[0].reason,
            next="see `shipway state`, and bring the receipt back from where it is kept as well",
        )
    return state


def _name(archive: Archive) -> str:
    return f"state-{archive.scope}.msgpack"


def _load(archive: Archive) -> _Kept | None:
    if not archive.scope:
        return None
    try:
        found = msgspec.msgpack.decode(archive.workspace.cache(_name(archive)).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    # Where signatures decide nothing is ever kept, so that what stands there is not ours.
    is_ours = archive.scope != "" and (found.schema, found.version, found.scope) == (
        _SCHEMA,
        __version__,
        archive.scope,
    )
    return found if is_ours else None


def _onto(kept: _Kept, sources: Sequence[Source], archive: Archive) -> _Kept | None:
    """What was kept with the receipts that came since; None where it has to be made anew."""
    there = {source.place: source for source in sources}
    if any(place not in there or there[place].stamp != stamp for place, (_, stamp) in kept.sources.items()):
        return None
    told = [(source, archive.read(source)) for source in sources if source.place not in kept.sources]
    tellings = [each for _, each in told if isinstance(each, Telling)]
    if len(tellings) != len(told):
        return None
    known = {digest for digest, _ in kept.sources.values()}
    digests = known | {telling.digest for telling in tellings}
    if any(archive.missing(tellings, digests)):
        return None
    entries = {Identity(*names): (standing, _record(record)) for names, standing, record in kept.entries}
    for telling in in_chain_order(each for each in tellings if each.digest not in known):
        if not later(entries, telling):
            return None
    stamps = {source.place: (each.digest, source.stamp) for source, each in told if isinstance(each, Telling)}
    return _kept(archive, {**kept.sources, **stamps}, entries) if told else kept


def _of(whole: Gathered, state: State, sources: Sequence[Source], archive: Archive) -> _Kept | None:
    """What is kept of all receipts; None where the next time has to look at all of them again."""
    if whole.findings or not archive.scope or len(whole.places) != len(sources):
        return None
    stamps = {source.place: (whole.places[source.place], source.stamp) for source in sources}
    entries = {entry.identity: (entry.standing, entry.by) for entry in state.entries}
    return _kept(archive, stamps, entries)


def _kept(
    archive: Archive,
    sources: dict[str, tuple[str, str]],
    entries: Mapping[Identity, tuple[Standing, HistoryRecord | None]],
) -> _Kept:
    written = [
        (
            (identity.lifecycle, identity.target, identity.kind, identity.name),
            standing,
            None if record is None else _written(record),
        )
        for identity, (standing, record) in sorted(entries.items())
    ]
    return _Kept(_SCHEMA, __version__, archive.scope, sources, written)


def _state(kept: _Kept) -> State:
    entries = tuple(Entry(Identity(*names), standing, _record(record)) for names, standing, record in kept.entries)
    return State(entries, len({digest for digest, _ in kept.sources.values()}))


def _written(record: HistoryRecord) -> _Record:
    return _Record(**{name: getattr(record, name) for name in _Record.__struct_fields__})


def _record(written: _Record | None) -> HistoryRecord | None:
    if written is None:
        return None
    facts: Mapping[str, Json] = written.facts  # type: ignore[assignment]
    return HistoryRecord(
        written.at_ms,
        written.receipt,
        written.run,
        written.commit,
        written.node,
        written.action,
        written.outcome,
        written.standing,
        written.change,
        written.present,
        written.fingerprint,
        facts,
    )
