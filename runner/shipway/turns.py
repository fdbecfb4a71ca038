"""Whose turn it is in a gather: at most so many iterations are open at once, the first declared first. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from shipway.room import Item


class Turns:
    """Items are known by their place in `items`, which may grow. An iteration is open from when it is let in to its last end."""

    def __init__(self, items: Sequence[Item], limits: Mapping[str, int]) -> None:
        self._items = items
        self._limits = dict(limits)
        self._left: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._is_open: set[str] = set()
        self._waiting: dict[str, list[tuple[int, str]]] = {}
        self._parked: dict[str, list[int]] = {}
        for item in items:
            self.count(item)

    def count(self, item: Item) -> None:
        """Another item that its iterations have to wait for."""
        for gather, iteration in item.turns:
            if gather in self._limits:
                self._left[iteration] = self._left.get(iteration, 0) + 1

    def limit(self, gather: str, iterations: int) -> None:
        """A gather that is added, with how many of its iterations may be open at once."""
        self._limits[gather] = iterations

    def admits(self, place: int) -> bool:
        """Whether the item may go on: its iterations are open, or could be opened now. Else it is kept for later."""
        for gather, iteration in self._items[place].turns:
            limit = self._limits.get(gather)
            if limit is None or iteration in self._is_open:
                continue
            if self._open.get(gather, 0) >= limit:
                if iteration not in self._parked:
                    heapq.heappush(self._waiting.setdefault(gather, []), (place, iteration))
                self._parked.setdefault(iteration, []).append(place)
                return False
            self._is_open.add(iteration)
            self._open[gather] = self._open.get(gather, 0) + 1
        return True

    def ended(self, place: int) -> list[int]:
        """The item at `place` has its outcome: the items that may be asked for again, because an iteration is over."""
        freed: list[int] = []
        for gather, iteration in self._items[place].turns:
            if gather not in self._limits:
                continue
            self._left[iteration] -= 1
            if not self._left[iteration] and iteration in self._is_open:
                self._is_open.discard(iteration)
                self._open[gather] -= 1
                freed += self._next(gather)
        return freed

    def begin_anew(self, places: Sequence[int]) -> None:
        """None of these items has its outcome any more, and none of them waits; all that share an iteration are among them."""
        for place in places:
            for gather, iteration in self._items[place].turns:
                self._waiting.pop(gather, None)
                self._open.pop(gather, None)
                self._parked.pop(iteration, None)
                self._is_open.discard(iteration)
                self._left.pop(iteration, None)
        for place in places:
            self.count(self._items[place])

    def _next(self, gather: str) -> list[int]:
        """The items of the next iteration that waits; one whose items have all ended meanwhile is passed over."""
        waiting = self._waiting.get(gather)
        while waiting:
            _, iteration = heapq.heappop(waiting)
            parked = self._parked.pop(iteration, [])
            if self._left[iteration]:
                return parked
        return []
