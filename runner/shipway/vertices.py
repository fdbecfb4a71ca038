"""A plan's nodes as vertices of a graph: with one for each body as a whole, and one for each stage that is needed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from shipway.graph import Graph
from shipway.node_ids import gate_of
from shipway.nodes import Need, NeedKind, Node, Promise


def build_graph(nodes: Sequence[Node], stage_needs: Mapping[str, Sequence[str]]) -> Graph:
    """Nodes with their needs, a vertex behind each body and all in it, and one for each needed stage.

    The ends of a stage come before its vertex, its followers' roots after. These vertices keep edges between bodies and
    stages linear in the number of nodes. Raises GraphError for unknown ends.
    """
    groups = groups_of(nodes)
    needs = {node.id: needs_of(node, groups) for node in nodes}
    edges = [(need.node, node.id) for node in nodes for need in needs[node.id]]
    edges += [(before, gate) for gate, befores in gates_of(nodes).items() for before in befores]
    members: dict[str, list[Node]] = {}
    for node in nodes:
        members.setdefault(node.stage, []).append(node)
    gates = {need for needed in stage_needs.values() for need in needed}
    inner = {need.node for node in nodes for need in needs[node.id] if need.node.startswith(node.stage + "/")}
    for stage in gates:
        edges += [(end, stage) for end in ends_of(members.get(stage, ())) if end not in inner]
        edges += [(before, stage) for before in stage_needs.get(stage, ()) if not members.get(stage)]
    for stage, needed in stage_needs.items():
        roots = [
            node
            for node in members.get(stage, ())
            if not any(need.node.startswith(node.stage + "/") for need in needs[node.id])
        ]
        edges += [(before, node.id) for before in needed for node in roots]
    bodies = (gate_of(node.id) for node in nodes if node.has_gate)
    return Graph([*(node.id for node in nodes), *bodies, *(stage for stage in stage_needs if stage in gates)], edges)


def in_turn(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """The graph with the iterations of each gather behind each other, where only one of them is worked on at once."""
    if not any(node.gather is not None and node.gather.limit == 1 for node in nodes):
        return graph
    by_id = {node.id: node for node in nodes}
    members = members_of(nodes)
    edges = [
        (end_of(by_id[before]), after)
        for node in nodes
        if node.gather is not None and node.gather.limit == 1
        for before, after in pairwise(members.get(node.id, ()))
    ]
    return Graph(graph.ids, [*graph.edges, *edges]) if edges else graph


def groups_of(nodes: Iterable[Node]) -> frozenset[str]:
    """The ids of the nodes whose outputs are those of their members."""
    return frozenset(node.id for node in nodes if node.is_group)


def needs_of(node: Node, groups: Collection[str]) -> tuple[Need, ...]:
    """The needs of a node, with those that its promises imply, whether or not they were written down."""
    promised = [slot.node for slot in (*node.slots.values(), *node.env.values()) if type(slot) is Promise]
    if not promised:
        return node.needs
    known = {need.node for need in node.needs}
    implied = dict.fromkeys(gate_of(name) if name in groups else name for name in promised)
    return (*node.needs, *(Need(name, NeedKind.PROMISE) for name in implied if name not in known))


def end_of(node: Node) -> str:
    """The vertex that has ended when the node and all that belongs to it have."""
    return gate_of(node.id) if node.has_gate else node.id


def ends_of(nodes: Iterable[Node]) -> list[str]:
    """The vertices that stand for whole steps: what is in a body is behind the body's vertex."""
    return [end_of(node) for node in nodes if opener_of(node) is None]


def opener_of(node: Node) -> str | None:
    """The node that opens the body that this one is directly in; None for one that stands in its stage itself."""
    return next((need.node for need in node.needs if need.kind is NeedKind.WITHIN), None) if node.needs else None


def members_of(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """The nodes directly in each body, by the node that opens it, in declared order."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        opener = opener_of(node)
        if opener is not None:
            found.setdefault(opener, []).append(node.id)
    return found


def gates_of(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """What comes before the vertex of each body: the node that opens it, then the ends of those directly in it."""
    nodes = tuple(nodes)
    found = {gate_of(node.id): [node.id] for node in nodes if node.has_gate}
    for node in nodes:
        opener = opener_of(node)
        if opener is not None and gate_of(opener) in found:
            found[gate_of(opener)].append(end_of(node))
    return found
