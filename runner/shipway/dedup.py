"""Nodes that are to be done once: which of them stands for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from shipway import expressions
from shipway.canonical import Json
from shipway.errors import Problem
from shipway.node_json import effect_json
from shipway.nodes import Need, NeedKind, Node

_OWN = ("id", "needs")
"""What two nodes may differ in and still do the same."""


def dedup_key(node: Node) -> str | None:
    """The key under which a node is done once in a run; None for the many that have none."""
    if node.dedup is None:
        return None
    return expressions.to_text(expressions.evaluate_template(expressions.parse_template(node.dedup, rendered=True), {}))


def deduplicated(nodes: Sequence[Node], order: Iterable[str]) -> tuple[list[Node], list[Problem]]:
    """The nodes, each of which comes after the first in `order` that has its key; and those that do not do the same.

    `order` has dependencies before dependents, so that no edge that is added can close a circle.
    """
    by_id = {node.id: node for node in nodes}
    firsts: dict[str, Node] = {}
    problems: list[Problem] = []
    for name in order:
        node = by_id.get(name)
        key = dedup_key(node) if node is not None else None
        if node is None or key is None:
            continue
        first = firsts.setdefault(key, node)
        if first is node:
            continue
        if problem := difference(first, node, key):
            problems.append(Problem(problem, node.position, hint="give one of them another key"))
        by_id[name] = after_first(node, first)
    return [by_id[node.id] for node in nodes], problems


def difference(first: Node, second: Node, key: str) -> str:
    """Why the second node cannot be the first, in words; empty where it can."""
    found, wanted = _content(second), _content(first)
    names = [name for name, value in wanted.items() if found.get(name) != value]
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return f"`{second.id}` and `{first.id}` have the `dedup` key `{key}`, and differ in {listed}"


def after_first(node: Node, first: Node) -> Node:
    """The node, waiting for the one that is done in its place."""
    if any(need.node == first.id for need in node.needs):
        return node
    return replace(node, needs=(*node.needs, Need(first.id, NeedKind.NEEDS)))


def _content(node: Node) -> Mapping[str, Json]:
    return {name: value for name, value in effect_json(node).items() if name not in _OWN}
