"""What each node reads and writes, by its action's slots and by what its step says. Pure; the edges are `conflicts`'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from shipway.action import Access, Action
from shipway.conflicts import Accesses, do_meet, settle
from shipway.errors import Problem
from shipway.graph import GraphError
from shipway.nodes import Immediate, Node, Slot
from shipway.plan import PlannedStage
from shipway.resources import Reach, Resource, at_path, declared, in_folder
from shipway.vertices import build_graph, in_turn


def accesses_of(
    action: Action | None, slots: Mapping[str, Slot], reads: Iterable[str], writes: Iterable[str]
) -> Accesses | None:
    """What a node touches, as far as it is known when planned: a path that only the run tells is not. None for nothing."""
    read = [declared(text) for text in reads if not text.startswith("!")]
    spared = tuple(text[1:] for text in reads if text.startswith("!"))
    written = [declared(text) for text in writes]
    for name, rule in action.slots.items() if action is not None else ():
        slot = slots.get(name)
        if rule.access is None or not isinstance(slot, Immediate) or not isinstance(slot.value, str) or not slot.value:
            continue
        if rule.below:
            inside = _names_in(slot.value, slots.get(rule.below))
            (read if rule.access is Access.READS else written).extend(inside)
        elif rule.access is Access.READS:
            read.append(at_path(slot.value, Reach.TREE))
        else:
            written.append(at_path(slot.value, Reach.TREE if rule.access is Access.CLEARS else Reach.ENTRY))
    return Accesses(tuple(written), tuple(read), spared) if read or written else None


def _names_in(folder: str, names: Slot | None) -> tuple[Resource, ...]:
    if not isinstance(names, Immediate) or not isinstance(names.value, list):
        return ()
    return (in_folder(folder, (name for name in names.value if isinstance(name, str))),)


def settled(
    stages: Sequence[PlannedStage], nodes: Sequence[Node], accesses: Mapping[str, Accesses], root: Path
) -> tuple[Sequence[Node], list[Problem]]:
    """The nodes with the edges that what they read and write amounts to, and what contradicts itself.

    Where the graph has a circle already, nothing is added: whoever checks the order says so.
    """
    if not any(used.writes for used in accesses.values()):
        return nodes, []
    inside = {name: _inside(used, root) for name, used in accesses.items()}
    if not do_meet(inside):
        return nodes, []
    try:
        graph = in_turn(build_graph(nodes, {stage.id: stage.needs for stage in stages}), nodes)
        return settle(nodes, inside, graph)
    except GraphError:
        return nodes, []


def _inside(used: Accesses, root: Path) -> Accesses:
    """The same, with absolute paths below the workspace as relative ones: both ways of writing name one file."""
    if not any(resource.name.startswith("/") for resource in (*used.writes, *used.reads)):
        return used
    return replace(
        used,
        writes=tuple(_relative(resource, str(root)) for resource in used.writes),
        reads=tuple(_relative(resource, str(root)) for resource in used.reads),
    )


def _relative(resource: Resource, root: str) -> Resource:
    if resource.name == root:
        return resource._replace(name=".")
    return resource._replace(name=resource.name.removeprefix(root + "/"))
