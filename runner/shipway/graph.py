"""Dependency view over node ids: order, closures, levels, paths. Pure; knows nothing of plans, actions or outcomes."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from shipway.errors import ShipwayError, did_you_mean


class GraphError(ShipwayError, ValueError):
    """A graph that cannot be ordered, or a question about a node it does not have. The message names the nodes."""


class Graph:
    """Nodes in declared order and the edges `(before, after)` between them. A repeated edge counts once.

    Answers that are sets come sorted by id; answers that are orders break ties by declared order. Every question about an
    unknown id raises GraphError. A cyclic graph can be asked for its cycle, but has no order, levels or critical path.
    """

    def __init__(self, ids: Iterable[str], edges: Iterable[tuple[str, str]] = ()) -> None:
        """Raises GraphError naming every duplicate id, unknown node and self-edge at once."""
        self.ids: tuple[str, ...] = tuple(ids)
        self._index = {node: place for place, node in enumerate(self.ids)}
        self._after: dict[str, dict[str, None]] = {node: {} for node in self.ids}
        self._before: dict[str, dict[str, None]] = {node: {} for node in self.ids}
        faults = [f"node `{node}` is declared twice" for node in _repeated(self.ids)]
        for before, after in edges:
            if before == after:
                faults.append(f"node `{after}` needs itself")
            elif before not in self._index or after not in self._index:
                faults.append(self._unknown_end(before, after))
            else:
                self._after[before][after] = None
                self._before[after][before] = None
        if faults:
            raise GraphError("; ".join(dict.fromkeys(faults)))

    def _unknown_end(self, before: str, after: str) -> str:
        unknown, known = (before, after) if before not in self._index else (after, before)
        guess = did_you_mean(unknown, self._index)
        return f"node `{known}` has an edge to the unknown node `{unknown}`" + (f"; {guess}" if guess else "")

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every edge once, by declared order of its ends."""
        return tuple((node, after) for node in self.ids for after in self._declared(self._after[node]))

    def depends_on(self, node: str) -> list[str]:
        """Direct dependencies, sorted."""
        return sorted(self._of(self._before, node))

    def dependents(self, node: str) -> list[str]:
        """Direct dependents, sorted."""
        return sorted(self._of(self._after, node))

    def all_dependencies(self, node: str) -> list[str]:
        """Transitive dependencies, sorted, without the node itself."""
        return sorted(self._closure(self._before, node))

    def all_dependents(self, node: str) -> list[str]:
        """Transitive dependents, sorted, without the node itself."""
        return sorted(self._closure(self._after, node))

    def roots(self) -> list[str]:
        """Nodes without a dependency, sorted."""
        return sorted(node for node in self.ids if not self._before[node])

    def leaves(self) -> list[str]:
        """Nodes without a dependent, sorted."""
        return sorted(node for node in self.ids if not self._after[node])

    def cycle(self) -> list[str]:
        """One cycle as `[a, b, c, a]`, each before the one after it, or an empty list where there is none."""
        waiting = self._unordered()
        if not waiting:
            return []
        # Every node left waits for another one left: walking dependencies must come back to where it was.
        walk: dict[str, None] = {}
        node = next(node for node in self.ids if node in waiting)
        while node not in walk:
            walk[node] = None
            node = next(before for before in self._declared(self._before[node]) if before in waiting)
        path = list(walk)
        loop = path[path.index(node) :]
        loop.reverse()
        first = min(range(len(loop)), key=lambda place: self._index[loop[place]])
        loop = loop[first:] + loop[:first]
        return [*loop, loop[0]]

    def has_cycle(self) -> bool:
        """Whether some node depends on itself through others."""
        return bool(self._unordered())

    def topological_order(self) -> list[str]:
        """Dependencies before dependents, ties in declared order. Raises GraphError naming the cycle."""
        order = self._kahn()
        if len(order) < len(self.ids):
            raise GraphError("cycle: " + " → ".join(self.cycle()))
        return order

    def levels(self) -> list[list[str]]:
        """Nodes by the length of the longest path that leads to them, each level sorted. Raises GraphError for a cycle."""
        depth: dict[str, int] = {}
        for node in self.topological_order():
            depth[node] = 1 + max((depth[before] for before in self._before[node]), default=-1)
        found: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
        for node, level in depth.items():
            found[level].append(node)
        return [sorted(level) for level in found]

    def critical_path(self, durations: Mapping[str, int] | None = None) -> tuple[list[str], int]:
        """The longest path and its length: in nodes, or in the sum of `durations` (any unit; absent counts 0).

        Among equal ones the first declared wins, from the end of the path backwards. Raises GraphError for a cycle.
        """
        weight: Callable[[str], int] = (lambda node: 1) if durations is None else (lambda node: durations.get(node, 0))
        total: dict[str, int] = {}
        previous: dict[str, str | None] = {}
        for node in self.topological_order():
            best = min(self._before[node], key=lambda before: (-total[before], self._index[before]), default=None)
            previous[node] = best
            total[node] = weight(node) + (total[best] if best is not None else 0)
        if not total:
            return [], 0
        node_: str | None = min(total, key=lambda node: (-total[node], bool(self._after[node]), self._index[node]))
        length = total[node_] if node_ is not None else 0
        path: list[str] = []
        while node_ is not None:
            path.append(node_)
            node_ = previous[node_]
        return path[::-1], length

    def independent_sets(self) -> list[list[str]]:
        """Groups of nodes with no edge between the groups, each sorted, the groups sorted by their first id."""
        found: list[list[str]] = []
        seen: set[str] = set()
        for node in self.ids:
            if node in seen:
                continue
            group = {node}
            queue = deque([node])
            while queue:
                here = queue.popleft()
                for near in (*self._before[here], *self._after[here]):
                    if near not in group:
                        group.add(near)
                        queue.append(near)
            seen |= group
            found.append(sorted(group))
        return sorted(found)

    def path_between(self, start: str, end: str) -> list[str] | None:
        """A shortest path along edges from `start` to `end`, both included, ties in declared order; None if there is none."""
        self._known(end)
        self._known(start)
        came_from: dict[str, str] = {}
        queue = deque([start])
        seen = {start}
        while queue:
            here = queue.popleft()
            if here == end:
                path = [here]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            for after in self._declared(self._after[here]):
                if after not in seen:
                    seen.add(after)
                    came_from[after] = here
                    queue.append(after)
        return None

    def subgraph(self, keep: Iterable[str]) -> Graph:
        """The graph of the nodes `keep` and the edges between them, in declared order."""
        kept = set(keep)
        for node in kept:
            self._known(node)
        return Graph(
            [node for node in self.ids if node in kept],
            [(before, after) for before, after in self.edges if before in kept and after in kept],
        )

    def _known(self, node: str) -> None:
        if node not in self._index:
            guess = did_you_mean(node, self._index)
            raise GraphError(f"there is no node `{node}`" + (f"; {guess}" if guess else ""))

    def _of(self, edges: Mapping[str, dict[str, None]], node: str) -> dict[str, None]:
        self._known(node)
        return edges[node]

    def _declared(self, nodes: Iterable[str]) -> list[str]:
        return sorted(nodes, key=self._index.__getitem__)

    def _closure(self, edges: Mapping[str, dict[str, None]], node: str) -> set[str]:
        self._known(node)
        found: set[str] = set()
        queue = [node]
        while queue:
            for near in edges[queue.pop()]:
                if near not in found:
                    found.add(near)
                    queue.append(near)
        found.discard(node)
        return found

    def _kahn(self) -> list[str]:
        missing = {node: len(before) for node, before in self._before.items()}
        ready = [place for place, node in enumerate(self.ids) if not missing[node]]
        order: list[str] = []
        while ready:
            node = self.ids[heapq.heappop(ready)]
            order.append(node)
            for after in self._after[node]:
                missing[after] -= 1
                if not missing[after]:
                    heapq.heappush(ready, self._index[after])
        return order

    def _unordered(self) -> set[str]:
        return set(self.ids).difference(self._kahn())


def _repeated(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for node in ids:
        if node in seen:
            twice[node] = None
        seen.add(node)
    return list(twice)
