"""The dependencies of a plan's nodes as text and as JSON: levels, ends, longest path, independent sets. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shipway.canonical import Json
from shipway.graph import Graph
from shipway.node_ids import owner_of, readable
from shipway.nodes import NeedKind, Node
from shipway.plan import Plan
from shipway.render import wording
from shipway.render.columns import NARROWEST, Colour, cut, pad, paint, width, wrap
from shipway.render.foreign import one_line

_REASONS = {
    NeedKind.ORDER: "its place in the list",
    NeedKind.NEEDS: "`needs`",
    NeedKind.PROMISE: "its output",
    NeedKind.RESOURCE: "what it writes",
    NeedKind.OPTIONAL: "`optional_needs`",
}
_MAX_SETS = 8
_LABEL = 10


def graph_json(plan: Plan, graph: Graph) -> dict[str, Json]:
    """`{lifecycle, target, nodes, edges, levels, roots, leaves, critical_path, independent_sets}`; edges are `[before, after]`."""
    kept = set(graph.ids)
    return {
        "lifecycle": plan.lifecycle,
        "target": plan.target,
        "nodes": [
            {"id": node.id, "stage": node.stage, "action": node.action, "title": node.title}
            for node in plan.nodes
            if node.id in kept
        ],
        "edges": [list(edge) for edge in graph.edges],
        "levels": [list(level) for level in graph.levels()],
        "roots": list(graph.roots()),
        "leaves": list(graph.leaves()),
        "critical_path": list(graph.critical_path()[0]),
        "independent_sets": [list(group) for group in graph.independent_sets()],
    }


def render_graph(plan: Plan, graph: Graph, *, colour: bool, columns: int, verbose: bool) -> str:
    """The nodes level by level, each with what it waits for; then the ends and the longest path. Ends with a line end.

    `verbose` adds what each node is, and why it waits.
    """
    columns = max(columns, NARROWEST)
    title = f"Graph: {one_line(plan.lifecycle)} → {one_line(plan.target)}"
    size = f"{wording.plural(len(graph.ids), 'node')}, {wording.plural(len(graph.edges), 'edge')}"
    room = max(columns - width(title) - width(size), 2)
    lines = [paint(title, Colour.BOLD, colour) + " " * room + paint(size, Colour.DIM, colour), ""]
    lines += _levels(plan, graph, colour, columns, verbose)
    lines.append("")
    lines += _facts(graph, columns)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _levels(plan: Plan, graph: Graph, colour: bool, columns: int, verbose: bool) -> Iterator[str]:
    levels, waits = graph.levels(), _waits(plan, graph)
    longest = set(graph.critical_path()[0])
    cells = min(max((width(one_line(readable(node))) for node in graph.ids), default=0), columns // 2 - 8)
    digits = len(str(len(levels)))
    for number, level in enumerate(levels, start=1):
        if number > 1:
            yield f"{' ' * digits}  │"
        for place, node in enumerate(level):
            label = f"{number:>{digits}}" if place == 0 else " " * digits
            stem = f"{label} {_branch(place, len(level))} "
            rest = f"{' ' * digits}  │ " if place < len(level) - 1 or number < len(levels) else " " * width(stem)
            rest = pad(rest, width(stem)) + " " * (cells + 2)
            name = paint(
                pad(cut(one_line(readable(node)), cells), cells), Colour.CYAN if node in longest else None, colour
            )
            first, *more = wrap(waits[node], columns, " " * (width(stem) + cells + 2), rest)
            yield f"{stem}{name}  {first.lstrip()}"
            yield from more
            if verbose:
                yield from _details(plan.by_id[node], columns, pad(rest[: width(stem)], width(stem)) + "  ")


def _branch(place: int, count: int) -> str:
    if count == 1:
        return "──"
    return "┬─" if place == 0 else "├─" if place < count - 1 else "└─"


def _waits(plan: Plan, graph: Graph) -> dict[str, str]:
    """What each node waits for directly: nodes, and stages as a whole."""
    whole, kept = plan.graph(), set(graph.ids)
    found = {}
    for node in graph.ids:
        names = [
            one_line(readable(before)) if before in kept else _whole(before)
            for before in whole.depends_on(node)
            if before in kept or before not in plan.by_id
        ]
        found[node] = f"← {', '.join(names)}" if names else ""
    return found


def _whole(name: str) -> str:
    """A stage, or all that a node adds, by the name that the graph has for the end of it."""
    return one_line(f"all of {readable(owner_of(name))}" if "/" in name else f"stage {name}")


def _details(node: Node, columns: int, indent: str) -> Iterator[str]:
    title = one_line(node.title)
    yield from wrap(f"{node.action}{': ' + title if title and title != node.step else ''}", columns, indent)
    for need in node.needs:
        shared = f" ({one_line(need.resource)})" if need.resource else ""
        yield from wrap(f"waits for {one_line(readable(need.node))}: {_REASONS[need.kind]}{shared}", columns, indent)


def _facts(graph: Graph, columns: int) -> Iterator[str]:
    yield from _fact("roots", ", ".join(one_line(readable(node)) for node in graph.roots()), columns)
    yield from _fact("leaves", ", ".join(one_line(readable(node)) for node in graph.leaves()), columns)
    path, length = graph.critical_path()
    yield from _fact(
        "longest", f"{' → '.join(one_line(readable(node)) for node in path)}, {wording.plural(length, 'node')}", columns
    )
    yield from _sets(graph.independent_sets(), columns)


def _sets(groups: Sequence[Sequence[str]], columns: int) -> Iterator[str]:
    if len(groups) < 2:
        yield from _fact("apart", "nothing: all nodes hang together", columns)
        return
    yield from _fact("apart", f"{len(groups)} sets that share no edge", columns)
    for group in groups[:_MAX_SETS]:
        yield from _fact("", ", ".join(map(one_line, group)), columns)
    if len(groups) > _MAX_SETS:
        yield from _fact("", f"… {len(groups) - _MAX_SETS} more", columns)


def _fact(label: str, text: str, columns: int) -> Iterator[str]:
    yield from wrap(text or "none", columns, f"{label:<{_LABEL}} ")
