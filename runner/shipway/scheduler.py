"""Which node starts next, and what becomes of those that never will. Pure: values in, decisions out; no clock, no threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from shipway.additions import additions
from shipway.consequences import NEVER_RAN, Consequences, Decision
from shipway.declaration import OnFailure
from shipway.nodes import FAILURES, Need, NeedKind, Outcome
from shipway.pace import Pace
from shipway.priority import dependents_counts, longest_paths, topological, weights
from shipway.room import Bounds, Item, Room
from shipway.turns import Turns


class Dispatch(Struct, frozen=True):
    """A node to start now; all it needs is taken. `waited_for` says what held it back since it was ready, or is empty.

    `tokens` are the limits with a rate that it took a token of: where others share them, `put_back` what they do not grant.
    """

    id: str
    waited_for: str = ""
    tokens: tuple[str, ...] = ()


class _State(Enum):
    WAITING = 0
    READY = 1
    RUNNING = 2
    PAUSED = 3
    ENDED = 4


def default_parallel(processors: int, nodes: int) -> int:
    """How many run at once where nobody said: twice the processors, at most the number of nodes, at least one."""
    return max(1, min(2 * processors, nodes))


class Scheduler:
    """Decides by completion, not by level. Call `dispatch`, run what it gives, tell `finish`; judge what `unjudged` lists.

    Order: longest remaining path (measured durations, else counted), then transitive dependents, then limits taking turns,
    then declared order. A node takes its slot, limits and locks in one decision or not at all.
    """

    def __init__(self, items: Sequence[Item], bounds: Bounds) -> None:
        """`items` in declared order, acyclic, with unique ids, their needs and limits known. Raises ValueError otherwise."""
        self._items = items = list(items)
        self._bounds = bounds
        self._index = {item.id: place for place, item in enumerate(items)}
        _check_ends(items, self._index, bounds)
        self._consequences = told = Consequences(items, self._met, self._has_ended)
        # The same lists, since each is looked at for every node.
        self._edges, self._missing, self._outcome, self._cause = told.edges, told.missing, told.outcome, told.cause
        self._wire()
        after = [[follower for follower, _ in edges] for edges in self._edges]
        order = topological(after, self._missing)
        if len(order) < len(items):
            raise ValueError("the graph has a cycle")
        real = [not item.gate for item in items]
        found = weights([*(item.duration_ms for item in items), None], [*real, True])
        self._stand_in = found[-1]
        paths = longest_paths(order, after, found[:-1])
        behind = dependents_counts(order, after, real)
        self._urgency = list(zip(paths, behind, strict=True))
        self._room = Room(items, bounds, self._urgency)
        self._turns = Turns(items, bounds.gathers)
        self._ends: dict[int, list[str]] = {}
        self._state = [_State.WAITING] * len(items)
        self._begun = [0] * len(items)
        self._unjudged: deque[int] = deque()
        self.stopping = False
        self._tries_again = True
        self._held: set[str] = set()
        self._revived: set[int] = set()
        for place in [place for place, count in enumerate(self._missing) if not count]:
            told.needs_met(place)

    def _wire(self) -> None:
        for place, item in enumerate(self._items):
            for need in item.needs:
                self._edges[self._index[need.node]].append((place, need.kind))
                self._missing[place] += 1

    # What the caller asks and tells.

    def recall(self, ended: Mapping[str, Outcome]) -> None:
        """Before anything is dispatched: these nodes have ended, in an earlier execution or as they are, and are not run."""
        places = {self._index[node]: outcome for node, outcome in ended.items()}
        self._room.withdraw(lambda place: place not in places)
        for place in places:
            self._state[place] = _State.ENDED
            self._turns.ended(place)
        self._consequences.recall(places)
        for place, outcome in places.items():
            item = self._items[place]
            policy = self.policy_of(item.stage)
            if outcome in FAILURES and not item.allow_failure and policy is not OnFailure.CONTINUE:
                self.stop(retries=policy is OnFailure.DRAIN)

    def dispatch(self, now_ms: int = 0) -> list[Dispatch]:
        """The nodes to start now, best first. Call again after every `finish`, `admit` or `wake`, and at `next_moment`.

        `now_ms` is on the caller's own clock; it matters only to limits with a rate and to those that rest.
        """
        started: list[Dispatch] = []
        while (taken := self._room.take_best(now_ms)) is not None:
            self._state[taken.place] = _State.RUNNING
            self._begun[taken.place] += 1
            started.append(Dispatch(self._items[taken.place].id, taken.waited_for, taken.tokens))
        return started

    def ready(self) -> list[str]:
        """Nodes that wait only for room, in declared order."""
        states = zip(self._items, self._state, strict=True)
        return [item.id for item, state in states if state is _State.READY]

    def put_back(self, node: str) -> None:
        """The node was dispatched and has not started: somebody else was given its token. It waits on."""
        place = self._index[node]
        self._begun[place] -= 1
        if self._may_start(place):
            self._state[place] = _State.READY
            self._room.put_back(place)
        else:
            self._state[place] = _State.PAUSED if self._begun[place] else _State.WAITING
            self._room.give_back(place)

    @property
    def pace(self) -> Pace:
        """How fast nodes may start under each limit: tell it who was told to slow down, and what others have taken."""
        return self._room.pace

    def next_moment(self, now_ms: int) -> tuple[int, str] | None:
        """When to `dispatch` again even if nothing ends meanwhile, and what is waited for: a token, or the end of a pause."""
        return self._room.next_moment(now_ms)

    def unjudged(self) -> list[str]:
        """Nodes whose needs are met and whose condition must be judged now: `admit` them, or `finish` them as skipped."""
        found = [self._items[place] for place in self._unjudged if self._outcome[place] is None]
        self._unjudged.clear()
        return [item.id for item in found if item.stage not in self._held]

    def admit(self, node: str) -> None:
        """The node's condition holds: let it wait for its turn. While stopping, only one that outlives failure may."""
        place = self._index[node]
        if self._may_start(place):
            self._make_ready(place)

    def finish(self, node: str, outcome: Outcome) -> None:
        """The node has ended, whether it ran or was judged not to. Frees what it took and decides what follows from it."""
        place = self._index[node]
        if self._state[place] is _State.RUNNING:
            self._room.give_back(place)
        item = self._items[place]
        failed = outcome in FAILURES
        if failed:
            self._cause[place] = self._cause[place] or node
        self._consequences.end(place, outcome, announce=False)
        policy = self._policy(item)
        if outcome in NEVER_RAN:
            self.stop()
        elif failed and not item.allow_failure and policy is not OnFailure.CONTINUE:
            self.stop(retries=policy is OnFailure.DRAIN)

    def pause(self, node: str) -> None:
        """The node waits for its next attempt and gives back what it took."""
        place = self._index[node]
        self._room.give_back(place)
        self._state[place] = _State.PAUSED
        self._revived.discard(place)

    def wake(self, node: str) -> None:
        """The paused node may start again as soon as there is room; where nothing is tried again, it stays `abandoned`."""
        place = self._index[node]
        if self._may_start(place):
            self._make_ready(place)

    def stop(self, *, retries: bool = False) -> None:
        """Start nothing new, except what outlives a failure; what was begun is tried again only with `retries`.

        A stop without `retries` overrides one with them. What is left is decided by `settle`, when all has ended.
        """
        if self.stopping and (retries or not self._tries_again):
            return
        self.stopping = True
        self._tries_again = retries
        for place in self._room.withdraw(self._may_start):
            self._state[place] = _State.PAUSED if self._begun[place] else _State.WAITING

    def settle(self) -> None:
        """Nothing runs and nothing can start any more: what waits is `not_started`; what outlives that gets ready."""
        if self.has_ready:
            return
        for place in self._topological():
            item = self._items[place]
            if self._state[place] is _State.WAITING and not item.outlives_failure and not item.gate:
                self._consequences.end(place, Outcome.NOT_STARTED)

    def grow(self, gate: str, items: Sequence[Item], ends: Collection[str], gathers: Mapping[str, int]) -> None:
        """Add `items` behind a node that runs; call it before that node is finished, which each of them needs.

        `gate` waits for `ends` of them as well. `gathers` are the limits of those among them. Raises ValueError, with
        nothing added, for a second item of an id, an unknown need, and a need of what itself waits for them.
        """
        added = additions(self._index, items, ends, self._behind(self._index[gate]))
        for gather, limit in gathers.items():
            self._turns.limit(gather, limit)
        first = len(self._items)
        for place, item in enumerate(items, first):
            self._items.append(item)
            self._index[item.id] = place
            self._turns.count(item)
        self._consequences.grow(len(items))
        self._begun.extend([0] * len(items))
        self._state.extend([_State.WAITING] * len(items))
        path, behind = self._urgency[self._index[gate]]
        self._urgency.extend(added.urgencies(self._stand_in, path, behind))
        self._room.grow(len(items))
        told: list[tuple[int, int, NeedKind]] = []
        for place, item in enumerate(items, first):
            for need in item.needs:
                before = self._index[need.node]
                self._edges[before].append((place, need.kind))
                self._missing[place] += 1
                if self._outcome[before] is not None:
                    told.append((before, place, need.kind))
        self._ends.setdefault(self._index[gate], []).extend(ends)
        for end in ends:
            self._edges[self._index[end]].append((self._index[gate], NeedKind.ORDER))
            self._missing[self._index[gate]] += 1
        for before, place, kind in told:
            outcome = self._outcome[before]
            assert outcome is not None
            self._consequences.tell(before, outcome, place, kind)

    def _topological(self) -> list[int]:
        after = [[follower for follower, _ in edges] for edges in self._edges]
        before = [0] * len(after)
        for followers in after:
            for follower in followers:
                before[follower] += 1
        return topological(after, before)

    def _behind(self, place: int) -> set[str]:
        """What waits for an item, directly or not, itself included."""
        found = {place}
        waiting = [place]
        while waiting:
            for follower, _ in self._edges[waiting.pop()]:
                if follower not in found:
                    found.add(follower)
                    waiting.append(follower)
        return {self._items[each].id for each in found}

    def abandoned(self) -> list[str]:
        """Nodes between two attempts whose next one will never come: `finish` each as its last attempt ended."""
        if self._tries_again:
            return []
        return [
            item.id
            for item, state, outcome in zip(self._items, self._state, self._outcome, strict=True)
            if state is _State.PAUSED and outcome is None and item.stage not in self._held
        ]

    # A stage that is tried again: held while what its attempt did is taken back, then reopened or given up.

    def hold(self, stage: str) -> None:
        """Start nothing more of `stage`, whatever ends; what runs of it may be paused or finished as usual."""
        self._held.add(stage)
        for place in self._room.withdraw(lambda place: self._items[place].stage != stage):
            self._state[place] = _State.PAUSED if self._begun[place] else _State.WAITING

    def is_quiet(self, stage: str) -> bool:
        """Whether nothing of a held stage runs."""
        return all(self._state[place] is not _State.RUNNING for place in self._members(stage))

    def revive(self, node: str) -> None:
        """Let a node of a held stage take room once more, for its undo: `dispatch` gives it, and `pause` ends it."""
        self._revived.add(self._index[node])
        self._make_ready(self._index[node])

    def reopen(self, stage: str) -> None:
        """Begin a held stage anew: all its nodes wait as they did before the first of them was started."""
        self._held.discard(stage)
        members = self._members(stage)
        for place in members:
            self._consequences.take_back(place)
            self._state[place] = _State.WAITING
        self._turns.begin_anew(members)
        for place in members:
            self._begin_anew(place)
        # First, since an end that follows at once is told to those behind it, which must not be judged here again.
        to_judge = [place for place in members if not self._missing[place] or self._is_blocked(place)]
        for place in to_judge:
            if self._outcome[place] is None:  # it may have ended by now, because one before it did
                self._judge_anew(place)

    def _judge_anew(self, place: int) -> None:
        """What a node of a reopened stage makes of what had ended before its stage: as if it were told of it now."""
        item, told = self._items[place], self._consequences
        if self._is_blocked(place):
            told.end(place, Outcome.BLOCKED)
        elif self._missing[place] or (told.unreachable[place] and not item.outlives_failure):
            return
        elif told.lacks_promise[place] and not item.gate:
            told.end(place, Outcome.SKIPPED, cause=told.lacks_promise[place])
        else:
            told.needs_met(place)

    def _is_blocked(self, place: int) -> bool:
        """Whether a failure above decides about the node, whatever becomes of its other needs."""
        item = self._items[place]
        return bool(self._cause[place]) and not item.gate and not item.outlives_failure

    def give_up(self, stage: str, cause: str) -> None:
        """Let a held stage go: its nodes that wait are blocked by `cause`, if one is named, unless they outlive a failure."""
        self._held.discard(stage)
        waiting = [
            place
            for place in self._members(stage)
            if self._state[place] is _State.WAITING and self._outcome[place] is None and not self._items[place].gate
        ]
        # First, since blocking others below may let one that outlives a failure get ready by itself.
        outliving = [place for place in waiting if self._items[place].outlives_failure and not self._missing[place]]
        blocked = [place for place in waiting if cause and not self._items[place].outlives_failure]
        for place in blocked:  # all of them, before the end of one could let another begin
            self._cause[place] = self._cause[place] or cause
        for place in blocked:
            self._consequences.end(place, Outcome.BLOCKED)
        for place in outliving:
            self._consequences.needs_met(place)

    def _members(self, stage: str) -> list[int]:
        return [
            place for place, item in enumerate(self._items) if item.stage == stage and (item.is_body or not item.gate)
        ]

    def _begin_anew(self, place: int) -> None:
        """What the ends of its needs mean to a node; those of its own stage have not ended any more."""
        self._consequences.forget(place)
        for need in (*self._items[place].needs, *(Need(end, NeedKind.ORDER) for end in self._ends.get(place, ()))):
            self._consequences.heed(place, self._index[need.node], need.kind)

    def decided(self) -> list[Decision]:
        """What was decided without running since the last call, in the order it was decided."""
        return self._consequences.take_decided()

    def policy_of(self, stage: str) -> OnFailure:
        """The failure policy that holds for a stage."""
        return self._bounds.stage_policies.get(stage, self._bounds.on_failure)

    def policy_for(self, node: str) -> OnFailure:
        """The failure policy that holds for a node: of the nearest gather that has one, else of its stage."""
        return self._policy(self._items[self._index[node]])

    def _policy(self, item: Item) -> OnFailure:
        return item.on_failure or self.policy_of(item.stage)

    def failed_above(self, node: str) -> str:
        """The node whose failure reaches `node` through its needs, or empty: what `success()` and `failure()` ask."""
        return self._cause[self._index[node]]

    @property
    def tries_again(self) -> bool:
        """Whether a node whose attempt failed may have another one: always, but after a stop without retries."""
        return self._tries_again

    @property
    def running(self) -> int:
        """How many nodes run now."""
        return self._room.running

    @property
    def finished(self) -> bool:
        """Whether every node has its outcome."""
        return self._consequences.left == 0

    @property
    def has_ready(self) -> bool:
        """Whether some node waits only for room or for a judgement."""
        return self._room.has_ready or bool(self._unjudged)

    def unfinished(self) -> list[str]:
        """Ids of the nodes without an outcome."""
        return [item.id for item, outcome in zip(self._items, self._outcome, strict=True) if outcome is None]

    # What follows from an end: see `Consequences`.

    def _has_ended(self, place: int) -> None:
        self._state[place] = _State.ENDED
        if self._items[place].turns:
            for freed in self._turns.ended(place):
                if self._outcome[freed] is None and self._may_start(freed):
                    self._make_ready(freed)

    def _met(self, place: int) -> None:
        if self._items[place].conditional:
            self._unjudged.append(place)
        elif self._may_start(place):
            self._make_ready(place)

    def _make_ready(self, place: int) -> None:
        if place not in self._revived and not self._turns.admits(place):
            self._state[place] = _State.WAITING
            return
        self._state[place] = _State.READY
        self._room.add(place)

    def _may_start(self, place: int) -> bool:
        """Whether a stop lets it: what was begun is tried again or not, the rest starts only if it outlives a failure."""
        if self._items[place].stage in self._held:
            return place in self._revived and not self.stopping
        if not self.stopping:
            return True
        return self._tries_again if self._begun[place] else self._items[place].outlives_failure


def _check_ends(items: Sequence[Item], index: Mapping[str, int], bounds: Bounds) -> None:
    if len(index) < len(items):
        raise ValueError("two items have the same id")
    for item in items:
        for need in item.needs:
            if need.node not in index:
                raise ValueError(f"`{item.id}` needs `{need.node}`, which is not among the items")
        for limit in item.limits:
            if limit not in bounds.limits:
                raise ValueError(f"`{item.id}` is under the limit `{limit}`, which has no size")
