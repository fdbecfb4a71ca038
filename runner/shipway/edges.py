"""Edges among the stages and the steps of a declaration: what needs what, unknown needs, and cycles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice

from msgspec import Struct

from shipway.errors import did_you_mean
from shipway.outline import StageOutline, StepOutline, texts
from shipway.places import Finding
from shipway.source import Path_

_MOST_CYCLES = 10  # each costs a walk over all edges
_MOST_SHOWN = 20


class Edge(Struct, frozen=True):
    """`before` is done before `after`, because of what stands at `path` (`span` inside it), or because of a list's order."""

    after: str
    before: str
    path: Path_
    span: tuple[int, int] | None = None
    is_order: bool = False


def stage_edges(stages: tuple[StageOutline, ...]) -> list[Edge]:
    """The edges that `needs` of stages make; unknown and own names included."""
    return [Edge(stage.id, name, path) for stage in stages for path, name in texts(stage.data, stage.path, "needs")]


def step_edges(stage: StageOutline) -> list[Edge]:
    """The edges that `needs`, `optional_needs` and the order of a list make in `stage`; unknown and own names included."""
    written = [
        Edge(step.id, name, path)
        for step in stage.steps
        for key in ("needs", "optional_needs")
        for path, name in texts(step.data, step.path, key)
    ]
    if not stage.is_ordered:
        return written
    order = zip(stage.steps[1:], stage.steps, strict=False)
    return written + [Edge(after.id, before.id, after.path, is_order=True) for after, before in order]


def edge_findings(kind: str, ids: tuple[str, ...], edges: Iterable[Edge], where: str = "") -> Iterator[Finding]:
    """Needs of what does not exist, of itself, and cycles among `ids`; `kind` is `stage` or `step`, `where` ` of stage `x``."""
    known: dict[str, dict[str, Edge]] = {name: {} for name in ids}
    for edge in edges:
        if edge.before not in known:
            hint = did_you_mean(edge.before, known) or _known_words(kind, [name for name in ids if name != edge.after])
            text = f"unknown {kind} `{edge.before}` needed by {kind} `{edge.after}`{where}"
            yield Finding(edge.path, text, hint, anchor="needs", span=edge.span)
        elif edge.before == edge.after and not edge.is_order:
            yield Finding(
                edge.path, f"{kind} `{edge.after}`{where} needs itself", "remove it", anchor="needs", span=edge.span
            )
        elif edge.before != edge.after:
            known[edge.after].setdefault(edge.before, edge)
    for cycle in islice(_cycles(known), _MOST_CYCLES):
        yield _cycle_finding(kind, cycle, known, where)


def duplicate_findings(stage: StageOutline, where: str) -> Iterator[Finding]:
    """Steps of `stage` without an id or with the id of another."""
    seen: dict[str, StepOutline] = {}
    for number, step in enumerate(stage.steps, 1):
        if not step.id:
            text = f"no id can be made for step number {number}{where}"
            yield Finding(step.path, text, "give it one: `id: build`", is_key=True, anchor="steps")
        elif step.id in seen:
            path = (*step.path, "id") if "id" in step.data else step.path
            text = f"two steps{where} are called `{step.id}`"
            yield Finding(path, text, "give this one an `id` of its own", anchor="steps")
        seen.setdefault(step.id, step)


def _shortened(names: list[str]) -> list[str]:
    return names if len(names) <= _MOST_SHOWN else [*names[: _MOST_SHOWN - 1], "…", names[-1]]


def _known_words(kind: str, names: list[str]) -> str:
    if not names:
        return f"there is no other {kind}"
    return f"known {kind}s: " + ", ".join(f"`{name}`" for name in names[:8]) + (" …" if len(names) > 8 else "")


def _cycles(needs: Mapping[str, Mapping[str, Edge]]) -> Iterator[list[str]]:
    """One cycle after the other, each beginning with its first name in declared order, until none is left."""
    order = {name: index for index, name in enumerate(needs)}
    open_names = _on_cycles(needs, needs.keys())
    while open_names:
        trail: dict[str, None] = {}
        name = min(open_names, key=order.__getitem__)
        while name not in trail:
            trail[name] = None
            name = min((before for before in needs[name] if before in open_names), key=order.__getitem__)
        names = list(trail)
        cycle = names[names.index(name) :]
        first = cycle.index(min(cycle, key=order.__getitem__))
        yield cycle[first:] + cycle[:first]
        open_names = _on_cycles(needs, open_names - set(cycle))


def _on_cycles(needs: Mapping[str, Mapping[str, Edge]], names: Set[str]) -> set[str]:
    """Those of `names` that never become ready: they are on a cycle, or behind one."""
    waiting = {name: needs[name].keys() & names for name in names}
    dependents: dict[str, list[str]] = {}
    for name, befores in waiting.items():
        for before in befores:
            dependents.setdefault(before, []).append(name)
    ready = [name for name, befores in waiting.items() if not befores]
    for done in ready:
        for name in dependents.get(done, ()):
            waiting[name].discard(done)
            if not waiting[name]:
                ready.append(name)
    return {name for name, befores in waiting.items() if befores}


def _cycle_finding(kind: str, cycle: list[str], needs: Mapping[str, Mapping[str, Edge]], where: str) -> Finding:
    edges = [needs[name][before] for name, before in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
    shown = next((edge for edge in edges if not edge.is_order), edges[0])
    hint = "remove one of these needs or references"
    if any(edge.is_order for edge in edges):
        hint = "steps of a list run in the order written: move the step, or write `steps` as a mapping of id to step"
    trail = " → ".join(_shortened([f"`{name}`" for name in [*cycle, cycle[0]]]))
    return Finding(
        shown.path, f"{kind}s{where} need each other in a circle: {trail}", hint, anchor="needs", span=shown.span
    )
