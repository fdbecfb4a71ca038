"""What becomes of each node when a run is gone on with: kept, opened again, probed first, or given up. Pure.

One algorithm for `resume`, `retry` and a run that CI starts anew, so that no two of them can disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from msgspec import Struct, field

from shipway.node_ids import is_gate, owner_of
from shipway.nodes import Computed, NeedKind, Node, Outcome, Promise, Slot
from shipway.plan import Plan
from shipway.replay import Standing, is_done

MOST_CRASHES = 3
"""After this many attempts that ended Shipway itself, a node has failed: it would do so for ever."""


class Fate(Enum):
    """What becomes of a node."""

    KEEP = "keep"
    OPEN = "open"
    PROBE = "probe"
    GIVE_UP = "give up"


class Wish(Struct, frozen=True):
    """What a person said. `assumed`: whether the work of a node is done; `start_from`: it and all behind it run again."""

    assumed: Mapping[str, bool] = field(default_factory=dict)
    start_from: str | None = None


class Undecided(Struct, frozen=True):
    """A node of which nobody can tell whether its work is there, and why that matters.

    `is_lost`: its work is there, but what it handed on is gone, so that only doing it again goes on.
    """

    node: str
    why: str
    is_lost: bool = False


class Reopening(Struct, frozen=True):
    """The fate of every node. Where there is something `undecided`, nothing may be done yet."""

    fates: Mapping[str, Fate]
    undecided: tuple[Undecided, ...] = ()

    def of(self, fate: Fate) -> tuple[str, ...]:
        """The nodes with this fate, in declared order."""
        return tuple(node for node, found in self.fates.items() if found is fate)


def reopen(
    plan: Plan,
    standings: Mapping[str, Standing],
    wish: Wish,
    *,
    same_workspace: bool,
    has_verify: Collection[str],
    reacts: Collection[str],
    traces: Collection[str] = (),
) -> Reopening:
    """The fate of every node of `plan`.

    `has_verify` are the nodes that can be asked whether their work is there, `reacts` those whose condition asks how
    others ended, `traces` those that left files behind which the journal knows nothing of.
    """
    undecided: list[Undecided] = []
    fates = {
        node.id: _fate(
            standings[node.id],
            wish.assumed.get(node.id),
            same_workspace=same_workspace,
            can_ask=node.id in has_verify,
            left_traces=node.id in traces,
            undecided=undecided,
        )
        for node in plan.nodes
    }
    after = _followers(plan)
    if wish.start_from is not None:
        for node in (wish.start_from, *_behind([wish.start_from], after)):
            fates[node] = Fate.OPEN
    _spread(plan, standings, fates, after, reacts)
    undecided += _lost(plan, standings, fates, after)
    decided_otherwise = {node for node, fate in fates.items() if fate is Fate.OPEN and wish.start_from is not None}
    return Reopening(fates, tuple(each for each in undecided if each.node not in decided_otherwise))


def _fate(
    standing: Standing,
    assumed: bool | None,
    *,
    same_workspace: bool,
    can_ask: bool,
    left_traces: bool,
    undecided: list[Undecided],
) -> Fate:
    node = standing.node
    if assumed is not None:
        return Fate.KEEP if assumed else Fate.OPEN
    if is_done(standing):
        here = node.lasting or same_workspace or bool(node.outputs)
        return Fate.KEEP if here else Fate.OPEN
    if standing.outcome is Outcome.NOT_UNDOABLE:
        return Fate.KEEP if standing.own in (Outcome.SUCCEEDED, Outcome.UNCHANGED) else Fate.OPEN
    if standing.outcome is Outcome.UNKNOWN and not standing.is_undo_unreported and standing.crashes >= MOST_CRASHES:
        return Fate.GIVE_UP
    in_doubt = standing.outcome in (Outcome.UNKNOWN, Outcome.UNDO_FAILED, Outcome.DRIFTED) or left_traces
    if not in_doubt or not node.must_be_undone:
        return Fate.OPEN
    if not can_ask:
        undecided.append(Undecided(node.id, doubt_of(standing)))
    return Fate.PROBE


def doubt_of(standing: Standing) -> str:
    """Why nobody can tell without a look whether the work of a node is there."""
    if standing.outcome is Outcome.UNDO_FAILED:
        return "its undo failed"
    if standing.outcome is Outcome.DRIFTED:
        return "what it made was changed since"
    if standing.is_undo_unreported:
        return "its undo was begun and never reported"
    return "it was begun and never reported"


def _spread(
    plan: Plan,
    standings: Mapping[str, Standing],
    fates: dict[str, Fate],
    after: Mapping[str, list[str]],
    reacts: Collection[str],
) -> None:
    """Open what is worth nothing once something before it runs again: what looked at work that is done anew, and what
    reacted to how others ended. What is lasting and stands is never repeated for that.
    """
    anew = [node for node, fate in fates.items() if fate is Fate.OPEN and standings[node].own in _HAD_WORK]
    for node in _behind(anew, after):
        if fates[node] is Fate.KEEP and not plan.by_id[node].must_be_undone:
            fates[node] = Fate.OPEN
    opened = [node for node, fate in fates.items() if fate is Fate.OPEN]
    for node in _behind(opened, after):
        if fates[node] is Fate.KEEP and node in reacts:
            fates[node] = Fate.OPEN


_HAD_WORK = frozenset({Outcome.SUCCEEDED, Outcome.UNCHANGED})


def _lost(
    plan: Plan, standings: Mapping[str, Standing], fates: dict[str, Fate], after: Mapping[str, list[str]]
) -> Iterable[Undecided]:
    """Outputs that were secret are not in the journal: who made one runs again where that is safe, if somebody needs it."""
    makers = [
        node
        for node, standing in standings.items()
        if fates[node] is Fate.KEEP and standing.last and standing.last.lost
    ]
    for maker in reversed(makers):
        last = standings[maker].last
        assert last is not None
        name = next((name for name in last.lost if _is_wanted(plan, fates, after, maker, name)), None)
        if name is None:
            continue
        if plan.by_id[maker].must_be_undone:
            yield Undecided(maker, f"its output `{name}` was secret and is not kept, and a later step takes it", True)
        else:
            fates[maker] = Fate.OPEN


def _is_wanted(plan: Plan, fates: Mapping[str, Fate], after: Mapping[str, list[str]], maker: str, output: str) -> bool:
    return any(
        fates[node] is not Fate.KEEP and _takes(plan.by_id[node], maker, output) for node in _behind([maker], after)
    )


def _takes(node: Node, maker: str, output: str) -> bool:
    if not any(owner_of(need.node) == maker and need.kind is NeedKind.PROMISE for need in node.needs):
        return False
    slots = (*node.slots.values(), *node.env.values())
    return any(_names(slot, maker, output) for slot in slots) or output in (node.condition or "")


def _names(slot: Slot, maker: str, output: str) -> bool:
    if isinstance(slot, Promise):
        return slot.node == maker and slot.output in (None, output)
    return isinstance(slot, Computed) and output in str(slot.expression)


def _followers(plan: Plan) -> dict[str, list[str]]:
    """Who waits for each node, over stages as well."""
    graph = plan.graph()
    found: dict[str, list[str]] = {vertex: [] for vertex in graph.ids}
    for before, behind in graph.edges:
        found[before].append(behind)
    return found


def _behind(starts: Iterable[str], after: Mapping[str, list[str]]) -> list[str]:
    """Every node that waits for one of `starts`, directly or not."""
    seen: dict[str, None] = {}
    waiting = list(starts)
    while waiting:
        for node in after[waiting.pop()]:
            if node not in seen:
                seen[node] = None
                waiting.append(node)
    return [node for node in seen if "/" in node and not is_gate(node)]
