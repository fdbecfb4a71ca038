"""What is added to a graph that is being run: whether it may be, and how urgent it is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from shipway.priority import dependents_counts, longest_paths, topological
from shipway.room import Item


class Additions(Struct, frozen=True):
    """New items with the edges between them, by their places among themselves; `ends` are those that the gate waits for."""

    items: Sequence[Item]
    after: Sequence[Sequence[int]]
    missing: Sequence[int]
    ends: frozenset[int]

    def urgencies(self, weight: int, path: int, behind: int) -> list[tuple[int, int]]:
        """Longest path and number of dependents of each, where the gate has `path` and `behind`.

        `weight` is for items that were never measured.
        """
        order = topological(self.after, self.missing)
        real = [not item.gate for item in self.items]
        measured = [item.duration_ms for item in self.items]
        # The gate counts as one more item behind the ends, as heavy as everything that it leads to.
        gate = len(self.items)
        after = [
            [*followers, gate] if place in self.ends else list(followers) for place, followers in enumerate(self.after)
        ]
        weights = [
            (weight if given is None else given) if is_real else 0
            for given, is_real in zip(measured, real, strict=True)
        ]
        paths = longest_paths([*order, gate], [*after, []], [*weights, path])
        counts = dependents_counts([*order, gate], [*after, []], [*real, False])
        return [(paths[place], counts[place] + behind) for place in range(gate)]


def additions(
    known: Mapping[str, int], items: Sequence[Item], ends: Collection[str], behind_gate: Collection[str]
) -> Additions:
    """The items as additions to a graph of `known` ids. `behind_gate` are the gate and all that waits for it.

    Raises ValueError naming a second item of an id, an unknown need, or a need that closes a cycle.
    """
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        if item.id in known or item.id in places:
            raise ValueError(f"there is a node `{item.id}` already")
        places[item.id] = place
    after: list[list[int]] = [[] for _ in items]
    missing = [0] * len(items)
    for place, item in enumerate(items):
        for need in item.needs:
            if need.node in behind_gate:
                raise ValueError(f"`{item.id}` needs `{need.node}`, which waits for it: a circle")
            if need.node in places:
                after[places[need.node]].append(place)
                missing[place] += 1
            elif need.node not in known:
                raise ValueError(f"`{item.id}` needs `{need.node}`, which is no node of this run")
    order = topological(after, missing)
    if len(order) < len(items):
        left = [item.id for place, item in enumerate(items) if place not in set(order)]
        raise ValueError("they need each other in a circle: " + " → ".join(f"`{name}`" for name in [*left, left[0]]))
    return Additions(items, after, missing, frozenset(places[end] for end in ends))
