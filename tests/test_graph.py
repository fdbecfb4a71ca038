"""What the dependency view answers, by the worked graph W and by comparing with the plainest way to work it out."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.graph import Graph, GraphError

_IDS = ("net", "db", "cache", "app", "web", "lint", "docs", "audit")
_EDGES = (("net", "db"), ("net", "cache"), ("db", "app"), ("cache", "app"), ("app", "web"), ("lint", "docs"))
W = Graph(_IDS, _EDGES)
_MS = dict(zip(_IDS, (10, 60, 90, 30, 20, 5, 15, 100), strict=True))

many = settings(max_examples=300, deadline=None)


def _graph(text: str) -> Graph:
    """`a→b→d, a→c→d` as a graph, ids in order of appearance."""
    edges = [edge for path in text.split(",") for edge in pairwise(path.strip().split("→"))]
    return Graph(dict.fromkeys(node for edge in edges for node in edge), edges)


def test_g088_counts_roots_and_leaves() -> None:
    assert (len(W.ids), len(W.edges)) == (8, 6)
    assert W.roots() == ["audit", "lint", "net"]
    assert W.leaves() == ["audit", "docs", "web"]
    assert "ghost" not in W.ids


def test_g089_direct_and_transitive_neighbours() -> None:
    assert W.depends_on("app") == ["cache", "db"]
    assert W.dependents("net") == ["cache", "db"]
    assert W.all_dependencies("web") == ["app", "cache", "db", "net"]
    assert W.all_dependents("net") == ["app", "cache", "db", "web"]
    assert W.all_dependents("audit") == []


def test_g090_order_breaks_ties_as_declared() -> None:
    assert W.topological_order() == ["net", "db", "cache", "app", "web", "lint", "docs", "audit"]


def test_g091_levels() -> None:
    assert W.levels() == [["audit", "lint", "net"], ["cache", "db", "docs"], ["app"], ["web"]]
    assert _graph("a→b→d, a→c→d, e→f").levels() == [["a", "e"], ["b", "c", "f"], ["d"]]


def test_g092_critical_path() -> None:
    assert W.critical_path() == (["net", "db", "app", "web"], 4)
    assert W.critical_path(_MS) == (["net", "cache", "app", "web"], 150)
    assert _graph("a→b→c→d, a→e→d").critical_path() == (["a", "b", "c", "d"], 4)
    assert Graph(["b", "a"]).critical_path() == (["b"], 1), "of equal leaves the first declared"
    assert Graph([]).critical_path() == ([], 0)


def test_g093_independent_sets() -> None:
    assert W.independent_sets() == [["app", "cache", "db", "net", "web"], ["audit"], ["docs", "lint"]]


def test_g094_paths_and_subgraphs() -> None:
    assert W.path_between("net", "web") == ["net", "db", "app", "web"]
    assert W.path_between("web", "net") is None
    assert W.path_between("db", "db") == ["db"]
    part = W.subgraph(["web", "db", "app"])
    assert (part.ids, len(part.edges), part.roots(), part.leaves()) == (("db", "app", "web"), 2, ["db"], ["web"])


def test_g095_a_cycle_has_no_order_and_no_levels() -> None:
    graph = _graph("a→b→c→a")
    assert graph.has_cycle()
    for question in (graph.topological_order, graph.levels, graph.critical_path):
        with pytest.raises(GraphError, match="cycle: a → b → c → a"):
            question()


def test_g095_nothing_unknown_and_twice_the_same() -> None:
    assert (Graph([]).has_cycle(), Graph([]).topological_order(), Graph([]).levels()) == (False, [], [])
    assert Graph("ab", [("a", "b"), ("a", "b")]).edges == (("a", "b"),)
    for question in (W.depends_on, W.dependents, W.all_dependencies, W.all_dependents):
        with pytest.raises(GraphError, match=r"there is no node `cach`; did you mean `cache`\?"):
            question("cach")
    for ends in (("net", "ghost"), ("ghost", "net")):
        with pytest.raises(GraphError, match="no node `ghost`"):
            W.path_between(*ends)
    with pytest.raises(GraphError, match="no node `ghost`"):
        W.subgraph(["net", "ghost"])


def test_g013_duplicate_unknown_end_and_self_edge_are_found_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        Graph(["a", "b", "a"], [("a", "a"), ("b", "ghost"), ("b", "ghost")])
    assert caught.value.message == (
        "node `a` is declared twice; node `a` needs itself; node `b` has an edge to the unknown node `ghost`"
    )


# By property. A random graph is acyclic in a hidden order, which is not the declared one.


def _random(seed: int, size: int) -> tuple[Graph, Random]:
    rng = Random(seed)
    ids = [f"n{number}" for number in range(size)]
    hidden = rng.sample(ids, size)
    edges = [(hidden[a], hidden[b]) for b in range(size) for a in range(b) if rng.random() < 0.3]
    return Graph(ids, rng.sample(edges, len(edges))), rng


random_graphs = st.builds(_random, st.integers(0, 2**48), st.integers(0, 9))


def _reachable(graph: Graph, start: str) -> set[str]:
    found = {after for before, after in graph.edges if before == start}
    return found.union(*(_reachable(graph, node) for node in found))


@many
@given(random_graphs)
def test_closures_are_what_can_be_reached(made: tuple[Graph, Random]) -> None:
    graph, _ = made
    for node in graph.ids:
        behind = _reachable(graph, node)
        assert graph.all_dependents(node) == sorted(behind)
        assert all(node in graph.all_dependencies(other) for other in behind)
        assert graph.dependents(node) == sorted(after for before, after in graph.edges if before == node)


@many
@given(random_graphs)
def test_order_is_the_first_by_declaration_of_all_that_respect_the_edges(made: tuple[Graph, Random]) -> None:
    graph, _ = made
    order: list[str] = []
    while len(order) < len(graph.ids):
        order.append(
            next(node for node in graph.ids if node not in order and set(graph.depends_on(node)) <= set(order))
        )
    assert graph.topological_order() == order


@many
@given(random_graphs)
def test_levels_and_longest_path_agree(made: tuple[Graph, Random]) -> None:
    graph, rng = made
    levels = graph.levels()
    depth = {node: level for level, nodes in enumerate(levels) for node in nodes}
    for node in graph.ids:
        assert depth[node] == max((depth[before] + 1 for before in graph.depends_on(node)), default=0)
    path, length = graph.critical_path()
    assert (len(path), length) == (len(levels), len(levels))
    durations = {node: rng.randint(0, 9) for node in graph.ids}
    path, length = graph.critical_path(durations)
    assert all(edge in graph.edges for edge in pairwise(path))
    assert length == sum(durations[node] for node in path)
    assert length == max((_longest(graph, node, durations) for node in graph.ids), default=0)


def _longest(graph: Graph, node: str, durations: dict[str, int]) -> int:
    return durations[node] + max((_longest(graph, after, durations) for after in graph.dependents(node)), default=0)


@many
@given(random_graphs)
def test_sets_are_independent_and_hold_every_node_once(made: tuple[Graph, Random]) -> None:
    graph, _ = made
    sets = graph.independent_sets()
    assert sorted(node for nodes in sets for node in nodes) == sorted(graph.ids)
    of = {node: place for place, nodes in enumerate(sets) for node in nodes}
    assert all(of[before] == of[after] for before, after in graph.edges)
    for nodes in sets:
        part = graph.subgraph(nodes)
        assert len(part.edges) >= len(nodes) - 1, "a set that falls apart would be two"
        assert part.independent_sets() == [nodes]


@many
@given(random_graphs)
def test_a_path_is_there_where_one_can_be_reached_and_is_a_shortest(made: tuple[Graph, Random]) -> None:
    graph, _ = made
    for start in graph.ids:
        for end in graph.ids:
            path = graph.path_between(start, end)
            assert (path is not None) == (start == end or end in graph.all_dependents(start))
            if path is not None:
                assert (path[0], path[-1]) == (start, end)
                assert all(edge in graph.edges for edge in pairwise(path))
                assert len(path) == 1 + _steps(graph, start, end)


def _steps(graph: Graph, start: str, end: str) -> int:
    here, steps = {start}, 0
    while end not in here:
        here = {after for before, after in graph.edges if before in here}
        steps += 1
    return steps


@many
@given(random_graphs)
def test_one_edge_against_the_order_makes_a_cycle_that_is_named_in_full(made: tuple[Graph, Random]) -> None:
    graph, rng = made
    assert not graph.has_cycle()
    assert graph.cycle() == []
    pairs = [(node, behind) for node in graph.ids for behind in graph.all_dependents(node)]
    if pairs:
        first, last = rng.choice(pairs)
        cyclic = Graph(graph.ids, [*graph.edges, (last, first)])
        cycle = cyclic.cycle()
        assert cyclic.has_cycle()
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert set(pairwise(cycle)) <= set(cyclic.edges)


@many
@given(random_graphs)
def test_a_subgraph_keeps_exactly_what_it_was_asked_to_keep(made: tuple[Graph, Random]) -> None:
    graph, rng = made
    keep = [node for node in graph.ids if rng.random() < 0.5]
    part = graph.subgraph(rng.sample(keep, len(keep)))
    assert part.ids == tuple(keep)
    assert set(part.edges) == {(a, b) for a, b in graph.edges if a in keep and b in keep}
