"""Edges and errors out of what nodes read and write: no two write one resource unless one comes first. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from shipway.errors import Problem
from shipway.graph import Graph, GraphError
from shipway.nodes import Need, NeedKind, Node
from shipway.reachability import Reachability
from shipway.resources import Reach, Resource, excludes
from shipway.source import MAX_PROBLEMS

_MOST_EDGES = 1_000_000
"""More edges than this between readers and writers say that somebody reads everything: stages should be ordered instead."""


class Accesses(Struct, frozen=True):
    """What a node writes and reads; `spared` are patterns that it does not read although others of its own name them."""

    writes: tuple[Resource, ...] = ()
    reads: tuple[Resource, ...] = ()
    spared: tuple[str, ...] = ()


class _Used:
    """A resource with who writes and who reads it; compared by identity, since there is one for each."""

    __slots__ = ("readers", "resource", "writers")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.writers: list[int] = []
        self.readers: list[int] = []


class _Users(dict[Resource, _Used]):
    def __missing__(self, resource: Resource) -> _Used:
        used = self[resource] = _Used(resource)
        return used


def do_meet(accesses: Mapping[str, Accesses]) -> bool:
    """Whether one node writes what another one writes or reads: only then does it matter which comes first."""
    index = {name: place for place, name in enumerate(accesses)}
    return any(
        one is not other or len({*one.writers, *one.readers}) > 1 for one, other in _meeting(_all_used(accesses, index))
    )


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


def _all_used(accesses: Mapping[str, Accesses], index: Mapping[str, int]) -> list[_Used]:
    """Writers and readers by resource, as `index` has them; who writes into a folder reads the folder."""
    users = _Users()
    for name, access in accesses.items():
        for resource in dict.fromkeys(access.writes):
            users[resource].writers.append(index[name])
        for resource in dict.fromkeys(access.reads):
            users[resource].readers.append(index[name])
    written = {
        used.resource.name: used
        for used in users.values()
        if used.writers and used.resource.scheme == "file" and used.resource.reach is Reach.ENTRY
    }
    for used in list(users.values()) if written else ():
        for folder in used.resource.ancestors() if used.writers and used.resource.scheme == "file" else ():
            if folder in written:
                written[folder].readers += used.writers
    return list(users.values())


def _meeting(all_used: Sequence[_Used]) -> Iterator[tuple[_Used, _Used]]:
    """Pairs of resources that have something in common, and of which one at least is written; each with itself too."""
    files: list[tuple[str, bool, str, _Used]] = []
    for used in all_used:
        if used.writers:
            yield used, used
        if used.resource.scheme == "file":
            is_entry = used.resource.reach is Reach.ENTRY
            files.append((used.resource.literal, is_entry, used.resource.name, used))
    files.sort(key=lambda entry: entry[:3])
    around: list[tuple[str, _Used]] = []
    for literal, is_entry, _, used in files:
        while around and not literal.startswith(around[-1][0]):
            around.pop()
        for _, wider in around:
            if (used.writers or wider.writers) and wider.resource.meets(used.resource):
                yield wider, used
        if not is_entry:
            around.append((literal, used))


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
        self._pairs = list(_meeting(self._in_line(_all_used(accesses, self._index))))

    def settle(self) -> tuple[tuple[Node, ...], list[Problem]]:
        problems = self._unordered_writers()
        if problems:
            return tuple(self._nodes), problems
        if self._count() > _MOST_EDGES:
            return tuple(self._nodes), [self._too_many()]
        nodes = self._with_edges()
        return nodes, self._circles(nodes)

    def _in_line(self, all_used: Sequence[_Used]) -> Sequence[_Used]:
        """With the writers of each by place in the order."""
        for used in all_used:
            used.writers.sort(key=self._reach.place.__getitem__)
        return all_used

    # Who writes what another writes.

    def _unordered_writers(self) -> list[Problem]:
        asked: dict[tuple[int, int], tuple[_Used, _Used]] = {}
        for one, other in self._pairs:
            if one.writers and other.writers and (one is not other or len(one.writers) > 1):
                for pair in self._neighbours(one, other):
                    asked.setdefault(pair, (one, other))
        ordered = self._reach.paths(asked)
        unordered = [pair for pair in asked if pair not in ordered]
        unordered.sort(key=lambda pair: sorted(pair))
        return [self._conflict(pair, *asked[pair]) for pair in unordered[:MAX_PROBLEMS]]

    def _neighbours(self, one: _Used, other: _Used) -> Iterator[tuple[int, int]]:
        """Pairs of writers to ask about: all are in one line if each is with the next."""
        if one is other:
            yield from pairwise(one.writers)
            return
        few, many = sorted((one.writers, other.writers), key=len)
        for writer in few:
            where = self._behind(many, writer)
            if where < len(many) and many[where] == writer:
                continue
            if where:
                yield many[where - 1], writer
            if where < len(many):
                yield writer, many[where]

    def _conflict(self, pair: tuple[int, int], one: _Used, other: _Used) -> Problem:
        early, late = sorted(pair)
        if early not in one.writers or late not in other.writers:
            one, other = other, one
        first, second = self._node(early), self._node(late)
        if str(one.resource) == str(other.resource):
            text = f"`{first.id}` ({first.position}) and `{second.id}` both write `{one.resource}`"
        else:
            text = (
                f"`{first.id}` ({first.position}) writes `{one.resource}`, and `{second.id}` writes `{other.resource}`"
            )
        return Problem(f"{text}, and nothing says which comes first", second.position, hint="order them with `needs`")

    def _behind(self, writers: Sequence[int], node: int) -> int:
        """How many of the writers, which are sorted, stand before the node in the order."""
        if len(writers) == 1:
            return int(self._reach.place[writers[0]] < self._reach.place[node])
        return bisect_left(writers, self._reach.place[node], key=self._reach.place.__getitem__)

    # Who reads what another writes.

    def _directions(self) -> Iterator[tuple[_Used, _Used]]:
        """What is read and what of it is written."""
        for one, other in self._pairs:
            if one.readers and other.writers:
                yield one, other
            if one is not other and other.readers and one.writers:
                yield other, one

    def _count(self) -> int:
        return sum(len(read.readers) for read, _ in self._directions())

    def _too_many(self) -> Problem:
        read, _ = max(self._directions(), key=lambda both: len(both[0].readers))
        text = f"more than {_MOST_EDGES:,} edges would lead from those who write to those who read, many to `{read.resource}`"
        where = self._node(read.readers[0]).position
        return Problem(text, where, hint="order the stages with `needs`, so that none are needed")

    def _readings(self) -> Iterator[_Reading]:
        for read, written in self._directions():
            resource, writers = written.resource, written.writers
            own = frozenset(writers)
            for reader in read.readers:
                spared = self._accesses[self._graph.ids[reader]].spared
                if reader not in own and not any(excludes(pattern, resource) for pattern in spared):
                    yield _Reading(reader, resource, writers, self._behind(writers, reader), len(writers))

    def _with_edges(self) -> tuple[Node, ...]:
        """Each reader behind the last writer that does not come after it; the writers are in one line."""
        readings = list(self._readings())
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
        added = [(need.node, node.id) for node in nodes for need in node.needs if need.resource]
        if not added:
            return []  # without them it has none
        graph = Graph(self._graph.ids, [*self._graph.edges, *added])
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


class _Reading:
    """A reader looks, by halves, for the first writer that comes after it: `low` when `low` and `high` have met."""

    __slots__ = ("high", "low", "reader", "writers", "written")

    def __init__(self, reader: int, written: Resource, writers: list[int], low: int, high: int) -> None:
        self.reader = reader
        self.written = written
        self.writers = writers
        self.low = low
        self.high = high

    @property
    def question(self) -> tuple[int, int]:
        return self.reader, self.writers[(self.low + self.high) // 2]

    def answer(self, comes_after: bool) -> None:
        middle = (self.low + self.high) // 2
        if comes_after:
            self.high = middle
        else:
            self.low = middle + 1
