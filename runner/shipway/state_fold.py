"""How receipts become the state: their records by resource, in order, and what stands after them. Pure.

Who hands receipts in has verified them: what cannot be is a finding of whoever read it, and no part of the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import Json
from shipway.nodes import DONE, Outcome
from shipway.receipt import NodeResult, Receipt, own_outcome
from shipway.records import SPARED
from shipway.state import EVERYTHING, Entry, HistoryRecord, Identity, Standing, State, Wanted

_NO_FACTS: Mapping[str, Json] = {}
_UNWOUND = frozenset({Outcome.UNDONE, Outcome.UNDO_FAILED, Outcome.NOT_UNDOABLE, Outcome.DRIFTED})

_Told: TypeAlias = "dict[Identity, list[HistoryRecord]]"


class Telling(Struct, frozen=True, dict=True):
    """A verified receipt, and the digest that seals it."""

    digest: str
    receipt: Receipt

    @cached_property
    def began_ms(self) -> int:
        """When its run began."""
        return unix_ms(self.receipt.started)

    @cached_property
    def undone_ms(self) -> Mapping[str, int]:
        """When the undo of each node ended, since the run began."""
        return {entry.node: entry.ended_ms for entry in self.receipt.rollback}

    @cached_property
    def left(self) -> Mapping[str, frozenset[str]]:
        """Of nodes that were put back but for some of what they made, the names of that."""
        return {entry.node: frozenset(entry.left) for entry in self.receipt.rollback if entry.left}

    def records(self, result: NodeResult) -> Iterator[tuple[Identity, HistoryRecord]]:
        """What a node's result says of the resources that it names."""
        receipt = self.receipt
        left = self.left.get(result.node) if result.outcome is Outcome.DRIFTED else None
        for said in result.records:
            identity = Identity(receipt.lifecycle, receipt.target, said.kind, said.name)
            standing = _standing(result, said.present)
            record = self.record(result, standing, said.present, said.fingerprint, said.facts)
            if left is not None and said.name not in left:
                record = replace(record, outcome=Outcome.UNDONE, standing=None)
            yield identity, record

    def record(
        self,
        result: NodeResult,
        standing: Standing | None = None,
        present: bool = True,
        fingerprint: str = "",
        facts: Mapping[str, Json] = _NO_FACTS,
    ) -> HistoryRecord:
        """One record of a node; without more, of one that names no resource."""
        receipt = self.receipt
        return HistoryRecord(
            self._moment_ms(result),
            self.digest,
            receipt.run,
            receipt.by.commit or "",
            result.node,
            result.action,
            result.outcome,
            standing,
            result.change,
            present,
            fingerprint,
            facts,
        )

    def _moment_ms(self, result: NodeResult) -> int:
        """When it happened: the undo, where there was one; else the node's end; else, where it never began, that of the run."""
        since = self.undone_ms.get(result.node) if result.outcome in _UNWOUND else result.ended_ms
        return unix_ms(self.receipt.ended) if since is None else self.began_ms + since


def in_chain_order(tellings: Iterable[Telling]) -> list[Telling]:
    """Each receipt behind the one that it names; those that name none of them by when they began. Each digest once."""
    known = {telling.digest: telling for telling in tellings}
    ordered: dict[str, Telling] = {}
    for telling in sorted(known.values(), key=lambda each: (each.receipt.started, each.receipt.ended)):
        before: list[Telling] = []
        link: Telling | None = telling
        while link is not None and link.digest not in ordered and len(before) <= len(known):
            before.append(link)
            link = known.get(link.receipt.previous or "")
        ordered.update((each.digest, each) for each in reversed(before))
    return list(ordered.values())


def fold(tellings: Iterable[Telling], wanted: Wanted = EVERYTHING) -> State:
    """The state that receipts come to. They stand in the order of their chain, which decides between records of one time."""
    told: _Told = {}
    silent: list[tuple[Telling, NodeResult]] = []
    count = 0
    for telling in tellings:
        count += 1
        for result in telling.receipt.nodes:
            if not result.records:
                silent.append((telling, result))
                continue
            for identity, record in telling.records(result):
                told.setdefault(identity, []).append(record)
    made_by = _made_by(told) if silent else {}
    for telling, result in silent:
        # A node that came to nothing names no resource: it is part of the story of what it made at another time.
        node = (telling.receipt.lifecycle, telling.receipt.target, result.node)
        for identity in made_by.get(node, ()):
            told[identity].append(telling.record(result))
    if wanted != EVERYTHING:
        told, count = _chosen(told, wanted)
    return State(tuple(_entry(identity, told[identity]) for identity in sorted(told)), count)


def _made_by(told: _Told) -> dict[tuple[str, str, str], dict[Identity, None]]:
    """What each node of a lifecycle and target ever told of."""
    found: dict[tuple[str, str, str], dict[Identity, None]] = {}
    for identity, records in told.items():
        for node in {record.node for record in records}:
            found.setdefault((identity.lifecycle, identity.target, node), {})[identity] = None
    return found


def replay(history: Sequence[HistoryRecord]) -> tuple[Standing, HistoryRecord | None]:
    """How a resource stands after `history`, in order, and by which record of it.

    An undo takes back what its run's node did, and what was there before stands again: later runs that found it, or made the very
    same, do not bring it back.
    """
    standing: list[HistoryRecord] = []
    for record in history:
        if record.outcome is Outcome.UNDONE:
            standing = _without(standing, record)
        elif record.standing is not None:
            standing.append(record)
        elif record.outcome is Outcome.UNKNOWN and standing and standing[-1].standing is Standing.EXISTS:
            # A change was begun and never told: what was there before may be no more, or be another.
            standing.append(_doubted(standing[-1], record))
    if not standing:
        return Standing.GONE, None
    last = standing[-1]
    return last.standing or Standing.GONE, last


def _without(standing: Sequence[HistoryRecord], undone: HistoryRecord) -> list[HistoryRecord]:
    """What stands once what a node of a run did is taken back, and what rests on that, up to the next change by somebody else."""
    kept: list[HistoryRecord] = []
    own: HistoryRecord | None = None
    for each in standing:
        if (each.run, each.node) == (undone.run, undone.node):
            own = None if _only_found(each) else each
        elif own is None or not _rests_on(each, own):
            own = None
            kept.append(each)
    return kept


def _rests_on(record: HistoryRecord, own: HistoryRecord) -> bool:
    return _only_found(record) or (
        bool(own.fingerprint) and (record.present, record.fingerprint) == (own.present, own.fingerprint)
    )


def _only_found(record: HistoryRecord) -> bool:
    """Whether what it tells of was there already."""
    return record.outcome is Outcome.UNCHANGED or bool(record.facts.get(SPARED))


def _doubted(before: HistoryRecord, record: HistoryRecord) -> HistoryRecord:
    return replace(
        record,
        action=before.action,
        standing=Standing.UNCERTAIN,
        present=before.present,
        fingerprint=before.fingerprint,
        facts=before.facts,
    )


def _chosen(told: _Told, wanted: Wanted) -> tuple[_Told, int]:
    """The records that are wanted, and how many receipts they are from."""
    chosen: _Told = {}
    receipts: set[str] = set()
    for identity, records in told.items():
        kept = [record for record in records if wanted.takes(identity, record)]
        if kept:
            chosen[identity] = kept
            receipts.update(record.receipt for record in kept)
    return chosen, len(receipts)


def _entry(identity: Identity, records: list[HistoryRecord]) -> Entry:
    # A run that is gone on with tells again what it did before: that is one event.
    events: dict[tuple[str, str, int, Outcome], HistoryRecord] = {}
    for each in records:
        events.setdefault((each.run, each.node, each.at_ms, each.outcome), each)
    history = tuple(sorted(events.values(), key=lambda record: record.at_ms))
    standing, by = replay(history)
    return Entry(identity, standing, by, history)


def _standing(result: NodeResult, present: bool) -> Standing | None:
    """How what the node names stands by it; None where it came to nothing, or that was taken back."""
    if result.outcome in DONE or (result.outcome is Outcome.NOT_UNDOABLE and own_outcome(result) in DONE):
        return Standing.EXISTS if present else Standing.GONE
    if result.outcome in (Outcome.UNDO_FAILED, Outcome.DRIFTED, Outcome.NOT_UNDOABLE):
        return Standing.UNCERTAIN
    return None


def unix_ms(moment: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time. Raises ValueError."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def later(entries: dict[Identity, tuple[Standing, HistoryRecord | None]], telling: Telling) -> bool:
    """Put a receipt that came after all others upon entries without history. False where that does not decide how they stand.

    Then `entries` may have been changed in part, and all receipts have to be folded anew: something was undone, or begun and
    never reported, or is no later than what stands.
    """
    for result in telling.receipt.nodes:
        if result.outcome in (Outcome.UNDONE, Outcome.UNKNOWN):
            return False
        for identity, record in telling.records(result):
            before = entries.get(identity)
            if record.outcome is Outcome.UNDONE:
                return False
            if before is not None and before[1] is not None and record.at_ms <= before[1].at_ms:
                return False
            if record.standing is not None:
                entries[identity] = (record.standing, record)
            elif before is None:
                entries[identity] = (Standing.GONE, None)
    return True
