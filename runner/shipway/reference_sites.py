"""Where a step refers to other nodes: the expressions of its declaration, by the node each refers to. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from shipway import expressions
from shipway.declaration import Declaration, Stage, Step
from shipway.explanation import Site
from shipway.expressions import ExpressionError, Reference
from shipway.node_ids import written_as
from shipway.nodes import NeedKind, Node
from shipway.outline import leaves
from shipway.plan import Plan
from shipway.source import Path_


def reference_sites(declaration: Declaration, plan: Plan, node: Node) -> dict[str, tuple[Site, ...]]:
    """The references of a node to those whose outputs it takes, in the order written; empty where its step is not found."""
    found = next(_steps_at(declaration, node), None)
    if found is None:
        return {}
    producers = [need.node for need in node.needs if need.kind is NeedKind.PROMISE]
    sites: dict[str, dict[Site, None]] = {}
    for member, path, text in _texts(*found):
        for reference in _references(member, text):
            for producer in producers:
                if _refers(reference, node, plan.by_id.get(producer)):
                    at = declaration.source.locate_within(path, reference.offset, reference.width)
                    sites.setdefault(producer, {})[Site(member, text[reference.offset :][: reference.width], at)] = None
    return {producer: tuple(each) for producer, each in sites.items()}


def _steps_at(declaration: Declaration, node: Node) -> Iterator[tuple[Stage, Step]]:
    for stage in declaration.stages:
        bodies = [*stage.steps, *(stage.compensation.steps if stage.compensation else ())]
        while bodies:
            step = bodies.pop()
            if step.where == node.position:
                yield stage, step
            bodies += (*(step.body.steps if step.body else ()), *step.templates)


def _texts(stage: Stage, step: Step) -> Iterator[tuple[str, Path_, str]]:
    """Each text of a step that may refer to another: its member, its path in the source, and itself."""
    for name, text in step.env.items():
        yield f"env.{name}", (*step.path, "env", name), text
    for name, text in stage.env.items():
        if name not in step.env:
            yield f"env.{name}", (*stage.path, "env", name), text
    for path, text in leaves(step.with_, (*step.path, "with")):
        yield ".".join(map(str, path[len(step.path) :])), path, text
    if step.condition is not None:
        yield "if", (*step.path, "if"), step.condition
    if step.gather is not None:
        for path, text in leaves(step.gather.slots, (*step.path, "gather")):
            yield "gather", path, text


def _references(member: str, text: str) -> tuple[Reference, ...]:
    try:
        return tuple((expressions.parse if member == "if" else expressions.parse_template)(text).references)
    except ExpressionError:  # the declaration was read: what is no expression here was text
        return ()


def _refers(reference: Reference, node: Node, producer: Node | None) -> bool:
    if producer is None:
        return False
    match reference.path:
        case ("steps", str(step), *_):
            return producer.stage == node.stage and written_as(producer.id).rpartition("/")[2] == step
        case ("stages", str(stage), "steps", str(step), *_):
            return producer.id == f"{stage}/{step}"
        case ("stages", str(stage), "outputs", str(output), *_):
            return producer.stage == stage and output in producer.outputs
    return False
