"""Which nodes of a plan read what has changed since: whether it still holds without planning anew. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shipway.globs import match_globs
from shipway.nodes import Node
from shipway.plan import Plan

DECLARATION = "declaration"
"""Stands for a node where the declaration itself has changed: what that means for which node, only a new plan tells."""


def outdated(plan: Plan, changed: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """What of `plan` depends on `changed` paths, each with those of them that it reads, in declared order.

    What names no `reads` reads the whole tree but the declaration's own files.
    """
    own = frozenset(plan.source.files)
    declared = tuple(path for path in changed if path in own)
    found: dict[str, tuple[str, ...]] = {DECLARATION: declared} if declared else {}
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for node in (*plan.nodes, *plan.compensations):
        files: dict[str, None] = {}
        for each in (node, *node.all_templates()):
            files |= dict.fromkeys(_read(each, changed, own, known))
        if files:
            found[node.id] = tuple(files)
    return found


def _read(
    node: Node, changed: Sequence[str], own: frozenset[str], known: dict[tuple[str, ...], tuple[str, ...]]
) -> tuple[str, ...]:
    patterns = node.reads.patterns
    if patterns not in known:
        is_whole = node.reads.is_whole_tree
        known[patterns] = tuple(
            path for path in changed if (path not in own if is_whole else match_globs(path, patterns))
        )
    return known[patterns]
