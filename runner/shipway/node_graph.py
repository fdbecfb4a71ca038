"""The dependencies of a plan's nodes alone, and the parts of them that one may ask for. Pure; draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from shipway.errors import UsageError, did_you_mean
from shipway.graph import Graph
from shipway.plan import Plan


def node_graph(plan: Plan) -> Graph:
    """The graph of the nodes: where a stage needs another, its first nodes come after the last ones of that stage."""
    whole = plan.graph()
    before: dict[str, list[str]] = {}
    for vertex in whole.topological_order():
        before[vertex] = list(dict.fromkeys(_nodes_before(whole.depends_on(vertex), before, plan)))
    return Graph([node.id for node in plan.nodes], [(one, node.id) for node in plan.nodes for one in before[node.id]])


def _nodes_before(vertices: Iterable[str], before: dict[str, list[str]], plan: Plan) -> Iterable[str]:
    for vertex in vertices:
        yield from [vertex] if vertex in plan.by_id else before[vertex]


def part_of(plan: Plan, graph: Graph, start: str | None, end: str | None) -> list[str]:
    """The nodes from `start` on, those up to `end`, or those between the two; each is a node or a stage, or None.

    In declared order. Raises UsageError for an unknown name, and where no path leads from `start` to `end`.
    """
    kept = set(graph.ids)
    if start is not None:
        kept &= _reached(_named(plan, start), graph.dependents)
    if end is not None:
        kept &= _reached(_named(plan, end), graph.depends_on)
    if not kept and start is not None and end is not None:
        raise UsageError(f"no path leads from `{start}` to `{end}`", next=f"try `--from {end} --to {start}`")
    return [node for node in graph.ids if node in kept]


def tagged(plan: Plan, tag: str) -> list[str]:
    """The nodes that have a tag, in declared order. Raises UsageError where none has, with the nearest tag there is."""
    found = [node.id for node in plan.nodes if tag in node.tags]
    if not found:
        known = {name for node in plan.nodes for name in node.tags}
        listed = "there are no tags" if not known else "tags: " + ", ".join(f"`{name}`" for name in sorted(known))
        raise UsageError(f"no node has the tag `{tag}`", next=did_you_mean(tag, known) or listed)
    return found


def only(plan: Plan, nodes: Iterable[str]) -> Plan:
    """The plan with these nodes only, and the stages that they are in. For showing it, never for executing it."""
    kept = set(nodes)
    left = tuple(node for node in plan.nodes if node.id in kept)
    names = {node.stage for node in left}
    return replace(plan, nodes=left, stages=tuple(stage for stage in plan.stages if stage.id in names))


def _reached(start: Iterable[str], near: Callable[[str], Iterable[str]]) -> set[str]:
    found = set(start)
    waiting = list(found)
    while waiting:
        for node in near(waiting.pop()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found


def _named(plan: Plan, name: str) -> list[str]:
    found = [node.id for node in plan.nodes if name in (node.id, node.stage)]
    if not found:
        known = [*plan.by_id, *plan.stages_by_id]
        raise UsageError(
            f"there is no node or stage `{name}`",
            next=did_you_mean(name, known) or "`shipway graph -q` lists the nodes",
        )
    return found
