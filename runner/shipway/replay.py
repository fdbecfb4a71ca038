"""How each node of a run stands, worked out from what the journal holds of it. Pure: reads nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from shipway import saga
from shipway.action import Verb
from shipway.nodes import DONE, Node, Outcome
from shipway.receipt import Attempt, NodeResult, Pause, RollbackEntry
from shipway.run_record import CRASHED, Decided, Recorded, RunRecord


class Standing(Struct, frozen=True):
    """One node of a run: what was tried, how it ended, and what of it is still to be undone.

    `outcome` is how it stands now: unknown where an attempt or an undo was begun and never reported, not started where
    nothing was tried since it was opened again. `own` is the outcome of its last attempt, whatever became of it. `began`
    says that something of it may be there: an attempt began and no undo since has put it back. `order` counts first
    starts, from 0, and is -1 where it does not apply. `counted` attempts were made since it was opened last, of which
    nobody reported `crashes`; the first `taken_back` of all attempts were undone.
    """

    node: Node
    outcome: Outcome
    own: Outcome
    tries: tuple[Recorded, ...] = ()
    undo: Recorded | None = None
    decided: Decided | None = None
    order: int = -1
    began: bool = False
    crashes: int = 0
    counted: int = 0
    taken_back: int = 0

    @property
    def last(self) -> Recorded | None:
        """The last attempt there was."""
        return self.tries[-1] if self.tries else None

    @property
    def is_undo_unreported(self) -> bool:
        """Whether its undo was begun, and nobody knows how that went."""
        return self.undo is not None and self.undo.outcome in (None, Outcome.UNKNOWN)

    def attempts(self) -> tuple[Attempt, ...]:
        """As they stand in a receipt, numbered from 1."""
        return tuple(entry.attempt(number) for number, entry in enumerate(self.tries, 1))


def stand(nodes: Iterable[Node], record: RunRecord) -> dict[str, Standing]:
    """How each of `nodes` stands, by id, in the order given."""
    by_node: dict[str, list[Recorded]] = {}
    for entry in record.history:
        by_node.setdefault(entry.node, []).append(entry)
    found = {node.id: _standing(node, by_node.get(node.id, []), record) for node in nodes}
    return _ordered(found)


def result_of(standing: Standing) -> NodeResult:
    """What a receipt says of the node as it stands."""
    last, decided = standing.last, standing.decided or Decided(standing.outcome)
    if last is None:
        return NodeResult(standing.node.id, standing.outcome, cause=decided.cause, error=decided.error)
    return NodeResult(
        node=standing.node.id,
        outcome=standing.outcome,
        attempts=standing.attempts(),
        started_ms=standing.tries[0].started_ms,
        ended_ms=last.ended_ms if last.ended_ms is not None else last.started_ms,
        cause=last.cause,
        error=last.error,
        warning=last.warning,
        change=last.change,
        outputs=last.outputs,
        records=last.records,
        tail=last.tail,
        log=last.log,
    )


def undos_of(record: RunRecord, stages: Mapping[str, str]) -> list[RollbackEntry]:
    """The undos that came to an end since the last attempt, in the order in which they began. `stages` gives a node's stage."""
    last = max((entry.sequence for entry in record.history if entry.verb is not Verb.UNDO), default=0)
    return [
        RollbackEntry(
            node=entry.node,
            stage=stages.get(entry.node, entry.node.partition("/")[0]),
            outcome=entry.outcome,
            started_ms=entry.started_ms,
            ended_ms=entry.ended_ms if entry.ended_ms is not None else entry.started_ms,
            error=entry.error,
            attempts=entry.number,
            tail=entry.tail,
            log=entry.log,
            left=entry.left,
        )
        for entry in record.history
        if entry.verb is Verb.UNDO and entry.sequence > last and entry.outcome not in (None, Outcome.UNKNOWN)
    ]


def begun_of(standings: Iterable[Standing]) -> Iterator[saga.Begun]:
    """Nodes that were begun and not taken back since, as the saga orders them."""
    for standing in standings:
        if standing.order >= 0:
            changed_nothing = len(standing.tries) == 1 and standing.outcome in (Outcome.UNCHANGED, Outcome.SKIPPED)
            must = standing.node.must_be_undone and standing.began and not changed_nothing
            yield saga.Begun(standing.node.id, standing.node.stage, standing.order, must)


def last_moment_ms(record: RunRecord) -> int:
    """The latest time, since the run began, that the journal holds of it."""
    moments = [entry.ended_ms if entry.ended_ms is not None else entry.started_ms for entry in record.history]
    return max(moments, default=0)


def pauses_of(record: RunRecord) -> tuple[Pause, ...]:
    """From what is last known of each execution of the run to the first start in the next one."""
    spans: dict[int, tuple[int, int]] = {}
    for entry in record.history:
        ended_ms = entry.ended_ms if entry.ended_ms is not None else entry.started_ms
        first, last = spans.get(entry.execution, (entry.started_ms, ended_ms))
        spans[entry.execution] = min(first, entry.started_ms), max(last, ended_ms)
    return pauses_between([spans[execution] for execution in sorted(spans)])


def pauses_between(spans: Iterable[tuple[int, int]]) -> tuple[Pause, ...]:
    """What lies between the spans, one behind the other, in which a run was heard of."""
    return tuple(Pause(before[1], after[0]) for before, after in pairwise(spans) if after[0] > before[1])


def _standing(node: Node, entries: Sequence[Recorded], record: RunRecord) -> Standing:
    decided = record.decided.get(node.id)
    tries = tuple(entry for entry in entries if entry.verb is not Verb.UNDO)
    if not tries:
        outcome = decided.outcome if decided else Outcome.NOT_STARTED
        return Standing(node, outcome, outcome, decided=decided)
    undos = [entry for entry in entries if entry.verb is Verb.UNDO]
    undone = max((entry.sequence for entry in undos if entry.outcome is Outcome.UNDONE), default=0)
    standing = [entry for entry in tries if entry.sequence > undone and entry.began]
    counted = [entry for entry in tries if entry.sequence > record.opened.get(node.id, 0)]
    last = tries[-1]
    own = last.outcome or Outcome.UNKNOWN
    undo = undos[-1] if undos and undos[-1].sequence > last.sequence else None
    if undo is not None and undo.sequence > record.opened.get(node.id, 0):
        outcome = undo.outcome or Outcome.UNKNOWN
    elif not counted:
        outcome = decided.outcome if decided else Outcome.NOT_STARTED
    else:
        outcome = own
    return Standing(
        node=node,
        outcome=outcome,
        own=own,
        tries=tries,
        undo=undo,
        decided=decided if not counted else None,
        order=standing[0].sequence if standing else -1,
        began=bool(standing),
        crashes=sum(entry.code == CRASHED or entry.outcome is None for entry in counted),
        counted=len(counted),
        taken_back=sum(entry.sequence < undone for entry in tries),
    )


def _ordered(found: dict[str, Standing]) -> dict[str, Standing]:
    """With places in the order of start in place of sequence numbers."""
    starts = sorted(standing.order for standing in found.values() if standing.order >= 0)
    places = {sequence: place for place, sequence in enumerate(starts)}
    return {
        node: standing if standing.order < 0 else replace(standing, order=places[standing.order])
        for node, standing in found.items()
    }


def is_done(standing: Standing) -> bool:
    """Whether its work is finished and stands: done, or found not to be needed by the step itself."""
    return standing.outcome in DONE or (standing.outcome is Outcome.SKIPPED and bool(standing.tries))
