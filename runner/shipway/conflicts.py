"""Edges and errors out of what nodes read and write: no two write one resource unless one comes first. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from shipway.errors import Problem
from shipway.graph import Graph, GraphError
from shipway.nodes import Need, NeedKind, Node
from shipway.reachability import Reachability
from shipway.resources import Reach, Resource, excludes
from shipway.source import MAX_PROBLEMS

_MOST_EDGES = 1_000_000
"""More edges than this between readers and writers say that somebody reads everything: stages should be ordered instead."""


@dataclass(frozen=True, slots=True)
class Accesses:
    """What a node writes and reads; `spared` are patterns that it does not read although others of its own name them."""

    writes: tuple[Resource, ...] = ()
    reads: tuple[Resource, ...] = ()
    spared: tuple[str, ...] = ()


@dataclass(slots=True)
class _Users:
    writers: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)


def settle(
    nodes: Sequence[Node], accesses: Mapping[str, Accesses], graph: Graph
) -> tuple[tuple[Node, ...], list[Problem]]:
    """The nodes, each with an edge from the last writer of what it reads where nothing orders the two yet, and what is wrong.

    `graph` holds at least the nodes, without a cycle. Wrong are two nodes that write one resource with no path between them,
    and readers and writers that wait for each other.
    """
    if not any(used.writes for used in accesses.values()):
        return tuple(nodes), []
    return _Settlement(nodes, accesses, graph).settle()


class _Settlement:
    def __init__(self, nodes: Sequence[Node], accesses: Mapping[str, Accesses], graph: Graph) -> None:
        self._nodes = nodes
        self._accesses = accesses
        self._graph = graph
        self._by_id = {node.id: node for node in nodes}
        self._index = {name: place for place, name in enumerate(graph.ids)}
        after: list[list[int]] = [[] for _ in graph.ids]
        for before, follower in graph.edges:
            after[self._index[before]].append(self._index[follower])
        self._reach = Reachability([self._index[name] for name in graph.topological_order()], after)
        self._users = self._used()
        self._pairs = list(self._meeting())

    def settle(self) -> tuple[tuple[Node, ...], list[Problem]]:
        problems = self._unordered_writers()
        if problems:
            return tuple(self._nodes), problems
        if self._count() > _MOST_EDGES:
            return tuple(self._nodes), [self._too_many()]
        nodes = self._with_edges()
        return nodes, self._circles(nodes)

    def _used(self) -> dict[Resource, _Users]:
        """Writers and readers by resource, by place in the order; who writes into a folder reads the folder."""
        users: dict[Resource, _Users] = {}
        for name, used in self._accesses.items():
            for resource in dict.fromkeys(used.writes):
                users.setdefault(resource, _Users()).writers.append(self._index[name])
            for resource in dict.fromkeys(used.reads):
                users.setdefault(resource, _Users()).readers.append(self._index[name])
        for resource, own in list(users.items()):
            for folder in resource.ancestors() if own.writers and resource.scheme == "file" else ():
                above = users.get(Resource("file", folder))
                if above is not None and above.writers:
                    above.readers += own.writers
        for own in users.values():
            own.writers.sort(key=self._reach.place.__getitem__)
        return users

    def _meeting(self) -> Iterator[tuple[Resource, Resource]]:
        """Pairs of resources that have something in common, and of which one at least is written; each with itself too."""
        files: list[Resource] = []
        for resource, own in self._users.items():
            if own.writers:
                yield resource, resource
            if resource.scheme == "file":
                files.append(resource)
        files.sort(key=lambda resource: (resource.literal, resource.reach is Reach.ENTRY, resource.name))
        around: list[Resource] = []
        for resource in files:
            while around and not resource.literal.startswith(around[-1].literal):
                around.pop()
            is_written = bool(self._users[resource].writers)
            for wider in around:
                if (is_written or self._users[wider].writers) and wider.meets(resource):
                    yield wider, resource
            if resource.reach is not Reach.ENTRY:
                around.append(resource)

    # Who writes what another writes.

    def _unordered_writers(self) -> list[Problem]:
        asked: dict[tuple[int, int], tuple[Resource, Resource]] = {}
        for one, other in self._pairs:
            for pair in self._neighbours(one, other):
                asked.setdefault(pair, (one, other))
        ordered = self._reach.paths(asked)
        unordered = [pair for pair in asked if pair not in ordered]
        unordered.sort(key=lambda pair: sorted(pair))
        return [self._conflict(pair, asked[pair]) for pair in unordered[:MAX_PROBLEMS]]

    def _neighbours(self, one: Resource, other: Resource) -> Iterator[tuple[int, int]]:
        """Pairs of writers to ask about: all are in one line if each is with the next."""
        first, second = self._users[one].writers, self._users[other].writers
        if one == other:
            yield from pairwise(first)
            return
        few, many = (first, second) if len(first) <= len(second) else (second, first)
        places = [self._reach.place[writer] for writer in many]
        for writer in few:
            where = bisect_left(places, self._reach.place[writer])
            if where < len(many) and many[where] == writer:
                continue
            if where:
                yield many[where - 1], writer
            if where < len(many):
                yield writer, many[where]

    def _conflict(self, pair: tuple[int, int], resources: tuple[Resource, Resource]) -> Problem:
        early, late = sorted(pair)
        one, other = self._node(early), self._node(late)
        wrote = {early: resources[0], late: resources[1]}
        if early not in self._users[wrote[early]].writers or late not in self._users[wrote[late]].writers:
            wrote = {early: resources[1], late: resources[0]}
        if str(wrote[early]) == str(wrote[late]):
            text = f"`{one.id}` ({one.position}) and `{other.id}` both write `{wrote[early]}`"
        else:
            text = f"`{one.id}` ({one.position}) writes `{wrote[early]}`, and `{other.id}` writes `{wrote[late]}`"
        return Problem(f"{text}, and nothing says which comes first", other.position, hint="order them with `needs`")

    # Who reads what another writes.

    def _count(self) -> int:
        return sum(
            len(self._users[one].readers) * bool(self._users[other].writers)
            for pair in self._pairs
            for one, other in {pair, pair[::-1]}
        )

    def _too_many(self) -> Problem:
        one, other = max(self._pairs, key=lambda pair: sum(len(self._users[one].readers) for one in pair))
        reader = (self._users[one].readers or self._users[other].readers)[0]
        text = f"more than {_MOST_EDGES:,} edges would lead from those who write to those who read, many to `{one}`"
        return Problem(text, self._node(reader).position, hint="order the stages with `needs`, so that none are needed")

    def _readings(self) -> Iterator[_Reading]:
        for pair in self._pairs:
            for read, written in dict.fromkeys((pair, pair[::-1])):
                writers = self._users[written].writers
                for reader in self._users[read].readers if writers else ():
                    spared = self._accesses[self._graph.ids[reader]].spared
                    if reader not in writers and not any(excludes(pattern, written) for pattern in spared):
                        yield _Reading(reader, written, writers)

    def _with_edges(self) -> tuple[Node, ...]:
        """Each reader behind the last writer that does not come after it; the writers are in one line."""
        readings = list(self._readings())
        place = self._reach.place
        for reading in readings:
            reading.low = bisect_left(reading.writers, place[reading.reader], key=place.__getitem__)
            reading.high = len(reading.writers)
        while asking := [reading for reading in readings if reading.low < reading.high]:
            found = self._reach.paths({reading.question for reading in asking})
            for reading in asking:
                reading.answer(reading.question in found)
        last = {
            (reading.writers[reading.low - 1], reading.reader): reading for reading in reversed(readings) if reading.low
        }
        ordered = self._reach.paths(last)
        added: dict[str, list[Need]] = {}
        for (writer, reader), reading in reversed(last.items()):
            if (writer, reader) not in ordered:
                need = Need(self._graph.ids[writer], NeedKind.RESOURCE, str(reading.written))
                added.setdefault(self._graph.ids[reader], []).append(need)
        return tuple(
            replace(node, needs=(*node.needs, *added[node.id])) if node.id in added else node for node in self._nodes
        )

    def _circles(self, nodes: Sequence[Node]) -> list[Problem]:
        edges = [*self._graph.edges, *((n.node, node.id) for node in nodes for n in node.needs if n.resource)]
        graph = Graph(self._graph.ids, edges)
        try:
            graph.topological_order()
        except GraphError:
            return [self._circle(graph.cycle(), {node.id: node for node in nodes})]
        return []

    def _circle(self, cycle: Sequence[str], nodes: Mapping[str, Node]) -> Problem:
        """`cycle` as its graph gives it, each before the next; without an edge between a reader and a writer there was none."""
        text, where = f"`{cycle[0]}`", None
        for before, name in pairwise(cycle):
            needs = nodes[name].needs if name in nodes else ()
            shared = next((need.resource for need in needs if need.node == before and need.resource), "")
            text += f" → `{name}`" + (f" (reads `{shared}`)" if shared else "")
            if shared and where is None:
                where = nodes[name].position
        return Problem(f"these wait for each other: {text}", where, hint="let one of them read or write something else")

    def _node(self, index: int) -> Node:
        return self._by_id[self._graph.ids[index]]


@dataclass(slots=True)
class _Reading:
    """A reader looks, by halves, for the first writer that comes after it: `low` when `low` and `high` have met."""

    reader: int
    written: Resource
    writers: list[int]
    low: int = 0
    high: int = 0

    @property
    def question(self) -> tuple[int, int]:
        return self.reader, self.writers[(self.low + self.high) // 2]

    def answer(self, comes_after: bool) -> None:
        middle = (self.low + self.high) // 2
        if comes_after:
            self.high = middle
        else:
            self.low = middle + 1
