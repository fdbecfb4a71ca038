"""Room for what is ready: who goes next and what it takes of slots, limits, tokens and locks. Pure; knows no needs or outcomes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

from shipway.declaration import OnFailure
from shipway.limits import Rate
from shipway.nodes import Need
from shipway.pace import Pace

_Alike: TypeAlias = tuple["str | None", tuple[str, ...], tuple[str, ...], bool, bool]
"""What nodes of one group have in common: stage, where that is bounded, limits, locks, and whether exclusive and light."""

_Key: TypeAlias = tuple[int, int, int, int]
"""How urgent a group's first node is, least first: path and dependents negated, the turn of its limit, its place."""


class Item(Struct, frozen=True):
    """What the scheduler knows of a node. A `gate` is a stage's vertex: it takes nothing and is never dispatched.

    `conditional`: someone has to judge it when its needs are met. `outlives_failure`: its condition asks for the status
    (always, failure, cancelled), so that it is judged once all its needs have ended, however they did. A gate that `is_body`
    waits for all of a body before it says whom to blame. `turns` are the gathers around the node, outermost first, each with
    its iteration; `on_failure` is the policy of the nearest that has one. One that `is_light` takes no slot: it is over at once.
    """

    id: str
    needs: tuple[Need, ...] = ()
    stage: str = ""
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    exclusive: bool = False
    conditional: bool = False
    outlives_failure: bool = False
    allow_failure: bool = False
    duration_ms: int | None = None
    gate: bool = False
    is_body: bool = False
    turns: tuple[tuple[str, str], ...] = ()
    on_failure: OnFailure | None = None
    is_light: bool = False


MOST_LIGHT = 128
"""So many light nodes start together: their starts are written down in one go, and so many are in doubt after a crash."""


class Bounds(Struct, frozen=True):
    """What bounds concurrency: `parallel` of the run (at least 1), of stages, and how many at once under each limit.

    `rates` are those of limits that have one. `on_failure` is the run's policy; `stage_policies` those of stages that have another.
    `gathers` is how many iterations of each gather may be open at once; of one that is not in it, any number.
    """

    parallel: int
    stage_parallel: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, Rate] = field(default_factory=dict)
    on_failure: OnFailure = OnFailure.DRAIN
    stage_policies: Mapping[str, OnFailure] = field(default_factory=dict)
    gathers: Mapping[str, int] = field(default_factory=dict)


class Taken(Struct, frozen=True):
    """An item that may start now: its place, what it had waited for (or empty), and the limits that a token was taken of."""

    place: int
    waited_for: str
    tokens: tuple[str, ...]


class _Group:
    """Ready nodes that take exactly the same things: if one may start, so may any; hence one look per group."""

    __slots__ = ("exclusive", "heap", "held_at", "held_by", "is_light", "limits", "locks", "stage", "turn_key", "wants")

    def __init__(
        self, stage: str | None, limits: tuple[str, ...], locks: tuple[str, ...], exclusive: bool, is_light: bool
    ) -> None:
        self.stage = stage
        self.is_light = is_light
        self.limits = limits
        self.locks = locks
        self.exclusive = exclusive
        self.turn_key = limits[0] if limits else None
        stages = () if stage is None else (f"slot of stage {stage}",)
        self.wants = (*stages, *(f"limit {limit}" for limit in limits), *(f"lock {lock}" for lock in locks))
        self.heap: list[tuple[int, int, int]] = []
        self.held_by = ""
        self.held_at = -1


class Room:
    """Items are known by their place in `items`. `add` those that are ready, `take_best`, `give_back` what has ended.

    Best is the highest `urgency` (longest remaining path, then transitive dependents), then limits taking turns, then place.
    An item that wants several things and saw a less urgent one take one of them has the others kept as they come free: else
    two queues could hand what it wants to and fro for ever. What only time holds back keeps nothing from anybody.
    """

    def __init__(self, items: Sequence[Item], bounds: Bounds, urgency: Sequence[tuple[int, int]]) -> None:
        self.running = 0
        self._items = items
        self._bounds = bounds
        self._urgency = urgency
        self._groups: dict[_Alike, _Group] = {}
        self._light = 0
        self._knows_light = any(item.is_light for item in items)
        self._turn: dict[str | None, int] = {}
        self._ready_under: dict[str | None, int] = {}
        self._turns = 0
        self._running_exclusive = False
        self._in_stage: dict[str, int] = {}
        self._in_limit: dict[str, int] = {}
        self._locked: set[str] = set()
        self._ready_at = [0] * len(items)
        self._clock = 0
        self._passed_over: dict[int, str] = {}
        self.pace = Pace(bounds.rates)

    def add(self, place: int) -> None:
        """The item at `place` waits for its turn from now on."""
        self._clock += 1
        self._ready_at[place] = self._clock
        self._queue(place)

    def put_back(self, place: int) -> None:
        """The item at `place` was taken and cannot start after all: it waits on."""
        self.give_back(place)
        self._queue(place)

    def _queue(self, place: int) -> None:
        item = self._items[place]
        stage = item.stage if self._bounds.stage_parallel.get(item.stage) else None
        key = (stage, item.limits, item.locks, item.exclusive, item.is_light)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
        path, behind = self._urgency[place]
        heapq.heappush(group.heap, (-path, -behind, place))
        ready = self._ready_under.get(group.turn_key, 0)
        if not ready:
            self._turn[group.turn_key] = self._next_turn()
        self._ready_under[group.turn_key] = ready + 1

    def grow(self, count: int) -> None:
        """So many items have been added behind those that there were, with their urgencies."""
        self._ready_at.extend([0] * count)

    def take_best(self, now_ms: int) -> Taken | None:
        """Take all that the best item needs; None where nothing may start now."""
        group = self._best_group(now_ms)
        if group is None:
            self._note_waiting(now_ms)
            return None
        return self._take(group, now_ms)

    def next_moment(self, now_ms: int) -> tuple[int, str] | None:
        """When time alone lets something start that it holds back now, and what of time; None where it holds nothing back."""
        if not self.pace.matters:
            return None
        limits = {group.limits for group in self._groups.values() if group.limits}
        later = [(moment, wanted) for wanted in limits if (moment := self.pace.free_at_ms(wanted, now_ms)) > now_ms]
        if not later:
            return None
        moment, wanted = min(later)
        return moment, self.pace.held(wanted, now_ms)

    def withdraw(self, keeps: Callable[[int], bool]) -> list[int]:
        """The places that wait no more, because `keeps` is false for them."""
        gone: list[int] = []
        for key, group in list(self._groups.items()):
            dropped = [entry for entry in group.heap if not keeps(entry[2])]
            group.heap = [entry for entry in group.heap if keeps(entry[2])]
            heapq.heapify(group.heap)
            if not group.heap:
                del self._groups[key]
            for _, _, place in dropped:
                self._leave_ring(group.turn_key)
                self._passed_over.pop(place, None)
                gone.append(place)
        return gone

    def give_back(self, place: int) -> None:
        """The item at `place` runs no more: free what it took."""
        item = self._items[place]
        self.running -= 1
        self._light -= item.is_light
        if item.exclusive:
            self._running_exclusive = False
        if item.stage in self._bounds.stage_parallel:
            self._in_stage[item.stage] -= 1
        for limit in item.limits:
            self._in_limit[limit] -= 1
        self._locked.difference_update(item.locks)

    @property
    def has_ready(self) -> bool:
        """Whether something waits for its turn."""
        return bool(self._ready_under)

    def _best_group(self, now_ms: int) -> _Group | None:
        """The group whose first node goes next, or None where nothing may start now.

        An exclusive node that is best holds everything back until it can run alone: else it might wait for ever.
        """
        if self._running_exclusive or (self._is_full() and (not self._knows_light or self._light >= MOST_LIGHT)):
            return None
        best: _Group | None = None
        best_key: _Key | None = None
        waiting: list[_Group] = []
        kept = self._kept(now_ms) if self._passed_over else None
        for group in self._groups.values():
            if self._waits_for_time(group, now_ms):
                continue
            key = self._key(group)
            if (not group.exclusive and self._held_by(group)) or (kept and _is_kept(group, key, kept)):
                if len(group.wants) > 1:
                    waiting.append(group)
            elif best_key is None or key < best_key:
                best, best_key = group, key
        if best is None or best_key is None or (best.exclusive and (self.running or self._held_by(best))):
            return None
        for group in waiting:
            if self._key(group) < best_key:
                lost = next((want for want in group.wants if want in best.wants), None)
                if lost is not None:
                    self._passed_over.setdefault(group.heap[0][2], lost)
        return best

    def _key(self, group: _Group) -> _Key:
        path, behind, place = group.heap[0]
        return path, behind, self._turn[group.turn_key], place

    def _kept(self, now_ms: int) -> dict[str, _Key]:
        """What is kept for those that were passed over, and for how urgent a one.

        Never the first thing that they lost: it may be in use all the time in which another one does not come free.
        """
        kept: dict[str, _Key] = {}
        for group in self._groups.values():
            lost = self._passed_over.get(group.heap[0][2])
            if lost is not None and not self._waits_for_time(group, now_ms):
                key = self._key(group)
                for want in group.wants:
                    if want != lost:
                        kept[want] = min(key, kept.get(want, key))
        return kept

    def _waits_for_time(self, group: _Group, now_ms: int) -> str:
        return self.pace.held(group.limits, now_ms) if self.pace.matters and group.limits else ""

    def _is_full(self) -> bool:
        return self.running - self._light >= self._bounds.parallel

    def _held_by(self, group: _Group) -> str:
        """What other nodes keep from those of a group, or empty."""
        if self._running_exclusive or (group.exclusive and self.running):
            return "exclusive"
        if self._light >= MOST_LIGHT if group.is_light else self._is_full():
            return "slot"
        if group.stage is not None and self._in_stage.get(group.stage, 0) >= self._bounds.stage_parallel[group.stage]:
            return f"slot of stage {group.stage}"
        for limit in group.limits:
            if self._in_limit.get(limit, 0) >= self._bounds.limits[limit]:
                return f"limit {limit}"
        for lock in group.locks:
            if lock in self._locked:
                return f"lock {lock}"
        return ""

    def _take(self, group: _Group, now_ms: int) -> Taken:
        place = heapq.heappop(group.heap)[2]
        item = self._items[place]
        self._leave_ring(group.turn_key)
        if group.turn_key in self._ready_under:
            self._turn[group.turn_key] = self._next_turn()
        if not group.heap:
            del self._groups[(group.stage, group.limits, group.locks, group.exclusive, group.is_light)]
        self.running += 1
        self._light += item.is_light
        self._running_exclusive = item.exclusive
        if item.stage in self._bounds.stage_parallel:
            self._in_stage[item.stage] = self._in_stage.get(item.stage, 0) + 1
        for limit in item.limits:
            self._in_limit[limit] = self._in_limit.get(limit, 0) + 1
        self._locked.update(item.locks)
        self._passed_over.pop(place, None)
        tokens = self.pace.take(item.limits, now_ms) if item.limits and self.pace.matters else ()
        return Taken(place, group.held_by if group.held_at >= self._ready_at[place] else "", tokens)

    def _note_waiting(self, now_ms: int) -> None:
        """Remember what holds each group back, so that a node can say what it waited for."""
        kept = self._kept(now_ms) if self._passed_over else {}
        for group in self._groups.values():
            held = self._waits_for_time(group, now_ms) or self._held_by(group)
            held = held or next((want for want in group.wants if want in kept), "exclusive")
            group.held_by, group.held_at = held, self._clock

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _leave_ring(self, key: str | None) -> None:
        left = self._ready_under[key] - 1
        if left:
            self._ready_under[key] = left
        else:
            del self._ready_under[key]


def _is_kept(group: _Group, key: _Key, kept: Mapping[str, _Key]) -> bool:
    """Whether something that the group wants is kept for a more urgent one."""
    return any(want in kept and kept[want] < key for want in group.wants)
