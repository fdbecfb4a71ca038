"""What the end of a node means to those that wait for it: nothing yet, that they may begin, or an outcome of their own. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from shipway.nodes import DONE, FAILURES, NeedKind, Outcome
from shipway.room import Item

NEVER_RAN = frozenset({Outcome.NOT_STARTED, Outcome.CANCELLED})
"""The outcomes of what did not come to its end, so that what waits for it cannot begin."""


class Decision(Struct, frozen=True):
    """A node that got its outcome without running: blocked, skipped or not_started; `cause` is the node to blame, or empty.

    The gate of a body stands here too, once all in it has ended: succeeded, or not_started where part of it never ran.
    """

    id: str
    outcome: Outcome
    cause: str = ""


class Consequences:
    """How the items stand to each other, each known by its place. `end` walks on to everything that follows.

    `edges` are those that wait for a place, and how; `missing` how many a place still waits for. `cause` is the node to
    blame for a failure at or above a place, `unreachable` whether something before it never ran, `lacks_promise` the node
    whose output it takes and that was skipped. `left` counts those without an outcome.
    """

    def __init__(self, items: Sequence[Item], met: Callable[[int], None], ended: Callable[[int], None]) -> None:
        """`met` is told of a place that is no gate and all of whose needs are met, `ended` of each that has its outcome."""
        self._items = items
        self._met = met
        self._ended = ended
        self._blamed: dict[int, int] = {}
        self._decided: list[Decision] = []
        self.edges: list[list[tuple[int, NeedKind]]] = []
        self.missing: list[int] = []
        self.cause: list[str] = []
        self.unreachable: list[bool] = []
        self.lacks_promise: list[str] = []
        self.outcome: list[Outcome | None] = []
        self.left = 0
        self.grow(len(items))

    def grow(self, count: int) -> None:
        """So many items have been added behind those that there were; nobody waits for them yet."""
        self.edges.extend([] for _ in range(count))
        self.missing.extend([0] * count)
        self.cause.extend([""] * count)
        self.unreachable.extend([False] * count)
        self.lacks_promise.extend([""] * count)
        self.outcome.extend([None] * count)
        self.left += count

    def take_decided(self) -> list[Decision]:
        """What was decided without running since the last call, in the order it was decided."""
        found, self._decided = self._decided, []
        return found

    def take_back(self, place: int) -> None:
        """`place` has no outcome any more, as its stage begins anew: those outside of it, and gates, wait for it again."""
        if self.outcome[place] is None:
            return
        self.outcome[place] = None
        self.left += 1
        item = self._items[place]
        for follower, _ in self.edges[place]:
            behind = self._items[follower]
            self.missing[follower] += behind.stage != item.stage or behind.gate
            if self.lacks_promise[follower] == item.id:
                self.lacks_promise[follower] = ""

    def forget(self, place: int) -> None:
        """Nothing has been told to `place` yet: its stage begins anew, and it will `heed` its needs one by one."""
        self.missing[place], self.cause[place], self.unreachable[place] = 0, "", False
        self.lacks_promise[place] = ""
        self._blamed.pop(place, None)

    def heed(self, place: int, before: int, kind: NeedKind) -> None:
        """What a need means to `place`, which begins anew: it may have ended before that."""
        item, how = self._items[place], self.outcome[before]
        is_known = how is not None or (self._items[before].gate and not item.outlives_failure)
        if is_known and not self._forgives(before, kind, item):
            # A stage that goes on although one of its nodes failed blocks what needs it all the same.
            self.cause[place] = self.cause[place] or self.cause[before]
        if how is None:
            self.missing[place] += 1
            return
        if how in NEVER_RAN and kind is not NeedKind.OPTIONAL:
            self.unreachable[place] = True
        if _takes_nothing(kind, how, item):
            self.lacks_promise[place] = self._items[before].id

    def recall(self, ended: Mapping[int, Outcome]) -> None:
        """These have ended, in an earlier execution or as they are; what follows from that is decided now."""
        for place, outcome in ended.items():
            self.outcome[place] = outcome
            self.left -= 1
            if outcome in FAILURES:
                self.cause[place] = self._items[place].id
        for place, outcome in ended.items():
            for follower, kind in self.edges[place]:
                if self.outcome[follower] is None:
                    self.tell(place, outcome, follower, kind)

    def tell(self, before: int, how: Outcome, follower: int, kind: NeedKind) -> None:
        """Tell `follower`, which has no outcome, that `before` ended so, and decide what follows from it."""
        for place, outcome, announce, cause in self._told(before, how, follower, kind):
            self.end(place, outcome, announce=announce, cause=cause)

    def end(self, place: int, outcome: Outcome, *, announce: bool = True, cause: str = "") -> None:
        """Give `place` its outcome and walk on to everything that follows from it; iterative, since chains are long."""
        queue: deque[tuple[int, Outcome, bool, str]] = deque([(place, outcome, announce, cause)])
        while queue:
            here, how, tell, why = queue.popleft()
            if self.outcome[here] is not None:
                continue
            self.outcome[here] = how
            self.left -= 1
            item = self._items[here]
            if (tell and not item.gate) or item.is_body:
                self._decided.append(Decision(item.id, how, why or self.cause[here]))
            self._ended(here)
            for follower, kind in self.edges[here]:
                if self.outcome[follower] is None:
                    queue.extend(self._told(here, how, follower, kind))

    def needs_met(self, place: int) -> None:
        """Nothing that `place` waited for is missing any more."""
        if self._items[place].gate:
            self.end(place, Outcome.SUCCEEDED, announce=False)
        else:
            self._met(place)

    def _told(self, here: int, how: Outcome, follower: int, kind: NeedKind) -> Iterable[tuple[int, Outcome, bool, str]]:
        """What `follower` makes of the end of one of its needs: nothing yet, ready, or an outcome of its own."""
        item = self._items[follower]
        self.missing[follower] -= 1
        blames = "" if self._forgives(here, kind, item) else self.cause[here]
        if how in NEVER_RAN and kind is not NeedKind.OPTIONAL:
            self.unreachable[follower] = True
        if item.is_body:
            return self._told_body(here, blames, follower)
        if blames and not self.cause[follower]:
            self.cause[follower] = blames
            if item.gate:
                return [*self._blocked_behind(follower), *self._gate_ended(follower)]
        if item.gate:
            return self._gate_ended(follower)
        if self.cause[follower] and not item.outlives_failure:
            # Decided at once: waiting for the other needs could not change it.
            return [(follower, Outcome.BLOCKED, True, "")]
        if _takes_nothing(kind, how, item):
            self.lacks_promise[follower] = self._items[here].id
        if self.missing[follower] or (self.unreachable[follower] and not item.outlives_failure):
            # An unreachable node is left to the end: until all has ended, a failure may still turn out to block it.
            return ()
        if self.lacks_promise[follower]:
            return [(follower, Outcome.SKIPPED, True, self.lacks_promise[follower])]
        self.needs_met(follower)
        return ()

    def _told_body(self, here: int, blames: str, gate: int) -> list[tuple[int, Outcome, bool, str]]:
        """A body tells whom to blame once all in it has ended, so that of several failures the first declared is named."""
        if blames and here < self._blamed.get(gate, len(self._items)):
            self._blamed[gate] = here
            self.cause[gate] = blames
        return self._gate_ended(gate)

    def _gate_ended(self, gate: int) -> list[tuple[int, Outcome, bool, str]]:
        """A stage has ended when all its leaves have, whatever became of them; those that outlive a failure wait for that."""
        outcome = Outcome.NOT_STARTED if self.unreachable[gate] else Outcome.SUCCEEDED
        return [] if self.missing[gate] else [(gate, outcome, False, "")]

    def _blocked_behind(self, gate: int) -> Iterator[tuple[int, Outcome, bool, str]]:
        """A failure in a stage blocks at once what needs the stage, although the stage goes on."""
        gates = [gate]
        for here in gates:  # grows while it is walked
            for follower, kind in self.edges[here]:
                item = self._items[follower]
                is_known = self.cause[follower] or self.outcome[follower] is not None
                if is_known or kind is NeedKind.OPTIONAL or item.outlives_failure:
                    continue
                self.cause[follower] = self.cause[gate]
                if item.gate:
                    gates.append(follower)
                else:
                    yield (follower, Outcome.BLOCKED, True, "")

    def _forgives(self, before: int, kind: NeedKind, item: Item) -> bool:
        """Whether the failure of `before` does not matter to who waits: optional, or a tolerated one it merely follows."""
        if kind is NeedKind.OPTIONAL:
            return True
        tolerated = self._items[before].allow_failure and self.cause[before] == self._items[before].id
        return tolerated and (kind is NeedKind.ORDER or item.gate)


def _takes_nothing(kind: NeedKind, how: Outcome, item: Item) -> bool:
    """Whether the follower is skipped: it takes an output of what was, or is in a body that never began."""
    if kind is NeedKind.WITHIN:
        return how is Outcome.SKIPPED or (item.outlives_failure and how not in DONE)
    return kind is NeedKind.PROMISE and how is Outcome.SKIPPED
