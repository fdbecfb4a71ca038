"""Which nodes come before which, asked for many pairs at once. Pure; sees indexes, not nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_BLOCK = 4096
"""Ends looked for per pass over the edges: bounds memory at 512 bytes a node, whatever is asked."""


class Reachability:
    """Paths in an acyclic graph, given what directly follows each index and an order that has needs first."""

    def __init__(self, order: Sequence[int], after: Sequence[Sequence[int]]) -> None:
        self._order = order
        self._after = after
        self.place = [0] * len(order)
        for place, index in enumerate(order):
            self.place[index] = place
        self._has_needs = [False] * len(order)
        for followers in after:
            for follower in followers:
                self._has_needs[follower] = True

    def paths(self, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of `pairs` whose first comes before their second. Time is edges × distinct seconds / block."""
        wanted = {(start, end) for start, end in pairs if self._may(start, end)}
        direct = {(start, end) for start, end in wanted if len(self._after[start]) < 8 and end in self._after[start]}
        by_end: dict[int, list[int]] = {}
        for start, end in wanted - direct:
            by_end.setdefault(end, []).append(start)
        ends = sorted(by_end, key=self.place.__getitem__)
        for begin in range(0, len(ends), _BLOCK):
            direct |= self._found(ends[begin : begin + _BLOCK], by_end)
        return direct

    def _may(self, start: int, end: int) -> bool:
        return self.place[start] < self.place[end] and bool(self._after[start]) and self._has_needs[end]

    def _found(self, ends: Sequence[int], by_end: dict[int, list[int]]) -> set[tuple[int, int]]:
        bit = {end: 1 << number for number, end in enumerate(ends)}
        first = min(self.place[start] for end in ends for start in by_end[end])
        reached: dict[int, int] = {}
        for index in reversed(self._order[first : self.place[ends[-1]]]):
            found = 0
            for follower in self._after[index]:
                found |= reached.get(follower, 0) | bit.get(follower, 0)
            if found:
                reached[index] = found
        return {(start, end) for end in ends for start in by_end[end] if reached.get(start, 0) & bit[end]}
