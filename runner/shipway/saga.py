"""What is undone when a run fails, and in which order. Pure: what was begun in, node ids out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shipway.declaration import Rollback
from shipway.nodes import Outcome


@dataclass(frozen=True, slots=True)
class Begun:
    """A node that was started: its stage, the order in which it first started (from 0), and whether it must be undone."""

    node: str
    stage: str
    order: int
    must_be_undone: bool


def undo_order(begun: Sequence[Begun], policy: Rollback, failed_stages: Collection[str] = ()) -> list[str]:
    """The nodes to undo, first to last: stage by stage, the last begun first; in each by reverse order of start.

    `policy` stage undoes the `failed_stages` only, none nothing. Nodes that leave nothing behind are not among them.
    """
    if policy is Rollback.NONE:
        return []
    first: dict[str, int] = {}
    for node in sorted(begun, key=lambda node: node.order):
        first.setdefault(node.stage, node.order)
    chosen = [node for node in begun if node.must_be_undone and (policy is Rollback.RUN or node.stage in failed_stages)]
    chosen.sort(key=lambda node: (-first[node.stage], -node.order))
    return [node.node for node in chosen]


def left_behind(begun: Sequence[Begun], undone: Collection[str]) -> list[str]:
    """Lasting nodes that were begun and are not undone by this rollback, in order of start: what a person should know of."""
    return [
        node.node
        for node in sorted(begun, key=lambda node: node.order)
        if node.must_be_undone and node.node not in undone
    ]


def is_whole(outcomes: Collection[Outcome]) -> bool:
    """Whether a rollback with these outcomes put everything back; unless it did, a run exits with 4."""
    return all(outcome is Outcome.UNDONE for outcome in outcomes)
