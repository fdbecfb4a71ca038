"""Room for what is ready: who goes next and what it takes of slots, limits and locks. Pure; knows no needs or outcomes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shipway.declaration import OnFailure
from shipway.nodes import Need


@dataclass(frozen=True, slots=True)
class Item:
    """What the scheduler knows of a node. A `gate` is a stage's vertex: it takes nothing and is never dispatched.

    `conditional`: someone has to judge it when its needs are met. `outlives_failure`: its condition asks for the status
    (always, failure, cancelled), so that it is judged once all its needs have ended, however they did.
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds concurrency: `parallel` of the run (at least 1), of stages, and how many at once under each limit.

    `on_failure` is the run's policy; `stage_policies` those of stages that have another.
    """

    parallel: int
    stage_parallel: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    on_failure: OnFailure = OnFailure.DRAIN
    stage_policies: Mapping[str, OnFailure] = field(default_factory=dict)


class _Group:
    """Ready nodes that take exactly the same things: if one may start, so may any; hence one look per group."""

    __slots__ = ("exclusive", "heap", "held_at", "held_by", "limits", "locks", "stage", "turn_key")

    def __init__(self, stage: str | None, limits: tuple[str, ...], locks: tuple[str, ...], exclusive: bool) -> None:
        self.stage = stage
        self.limits = limits
        self.locks = locks
        self.exclusive = exclusive
        self.turn_key = limits[0] if limits else None
        self.heap: list[tuple[int, int, int]] = []
        self.held_by = ""
        self.held_at = -1


class Room:
    """Items are known by their place in `items`. `add` those that are ready, `take_best`, `give_back` what has ended.

    Best is the highest `urgency` (longest remaining path, then transitive dependents), then limits taking turns, then place.
    """

    def __init__(self, items: Sequence[Item], bounds: Bounds, urgency: Sequence[tuple[int, int]]) -> None:
        self.running = 0
        self._items = items
        self._bounds = bounds
        self._urgency = urgency
        self._groups: dict[tuple[str | None, tuple[str, ...], tuple[str, ...], bool], _Group] = {}
        self._turn: dict[str | None, int] = {}
        self._ready_under: dict[str | None, int] = {}
        self._turns = 0
        self._running_exclusive = False
        self._in_stage: dict[str, int] = {}
        self._in_limit: dict[str, int] = {}
        self._locked: set[str] = set()
        self._ready_at = [0] * len(items)
        self._clock = 0

    def add(self, place: int) -> None:
        """The item at `place` waits for its turn from now on."""
        item = self._items[place]
        stage = item.stage if self._bounds.stage_parallel.get(item.stage) else None
        key = (stage, item.limits, item.locks, item.exclusive)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
        path, behind = self._urgency[place]
        heapq.heappush(group.heap, (-path, -behind, place))
        self._clock += 1
        self._ready_at[place] = self._clock
        ready = self._ready_under.get(group.turn_key, 0)
        if not ready:
            self._turn[group.turn_key] = self._next_turn()
        self._ready_under[group.turn_key] = ready + 1

    def take_best(self) -> tuple[int, str] | None:
        """Take all that the best item needs: its place and what it had waited for; None where nothing may start now."""
        group = self._best_group()
        if group is None:
            self._note_waiting()
            return None
        return self._take(group)

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
                gone.append(place)
        return gone

    def give_back(self, place: int) -> None:
        """The item at `place` runs no more: free what it took."""
        item = self._items[place]
        self.running -= 1
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

    def _best_group(self) -> _Group | None:
        """The group whose first node goes next, or None where nothing may start now.

        An exclusive node that is best holds everything back until it can run alone: else it might wait for ever.
        """
        if self._running_exclusive or self.running >= self._bounds.parallel:
            return None
        best: _Group | None = None
        best_key: tuple[int, int, int, int] | None = None
        for group in self._groups.values():
            if not group.heap or (not group.exclusive and self._held_by(group)):
                continue
            path, behind, place = group.heap[0]
            key = (path, behind, self._turn[group.turn_key], place)
            if best_key is None or key < best_key:
                best, best_key = group, key
        if best is not None and best.exclusive and (self.running or self._held_by(best)):
            return None
        return best

    def _held_by(self, group: _Group) -> str:
        """What keeps the nodes of a group from starting, or empty."""
        if self._running_exclusive or (group.exclusive and self.running):
            return "exclusive"
        if self.running >= self._bounds.parallel:
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

    def _take(self, group: _Group) -> tuple[int, str]:
        place = heapq.heappop(group.heap)[2]
        item = self._items[place]
        self._leave_ring(group.turn_key)
        if group.turn_key in self._ready_under:
            self._turn[group.turn_key] = self._next_turn()
        if not group.heap:
            del self._groups[(group.stage, group.limits, group.locks, group.exclusive)]
        self.running += 1
        self._running_exclusive = item.exclusive
        if item.stage in self._bounds.stage_parallel:
            self._in_stage[item.stage] = self._in_stage.get(item.stage, 0) + 1
        for limit in item.limits:
            self._in_limit[limit] = self._in_limit.get(limit, 0) + 1
        self._locked.update(item.locks)
        waited = group.held_by if group.held_at >= self._ready_at[place] else ""
        return place, waited

    def _note_waiting(self) -> None:
        """Remember what holds each group back, so that a node can say what it waited for."""
        for group in self._groups.values():
            held = self._held_by(group) or "exclusive"
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
