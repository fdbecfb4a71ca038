"""What is undone when a run fails, and in which order. Pure: what was begun in, node ids out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from shipway.declaration import Rollback
from shipway.nodes import WHOLE, Outcome


class Begun(Struct, frozen=True):
    """A node that was started: its stage, the order in which it first started (from 0), and whether it must be undone."""

    node: str
    stage: str
    order: int
    must_be_undone: bool


def undo_order(
    begun: Sequence[Begun],
    policy: Rollback,
    failed_stages: Collection[str] = (),
    compensations: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """The nodes to roll back, first to last: stage by stage, the last begun first; in each by reverse order of start.

    Before the nodes of a stage come those of its compensation, which `compensations` has by stage, in the order they run.
    `policy` stage rolls back the `failed_stages` only, none nothing. Nodes that leave nothing behind are not among them.
    """
    if policy is Rollback.NONE:
        return []
    of_stage: dict[str, list[Begun]] = {}
    for node in sorted(begun, key=lambda node: node.order):
        of_stage.setdefault(node.stage, []).append(node)
    order: list[str] = []
    for stage, nodes in reversed(of_stage.items()):
        if policy is Rollback.RUN or stage in failed_stages:
            order += (compensations or {}).get(stage, ())
            order += [node.node for node in reversed(nodes) if node.must_be_undone]
    return order


def left_behind(begun: Sequence[Begun], undone: Collection[str]) -> list[str]:
    """Lasting nodes that were begun and are not undone by this rollback, in order of start: what a person should know of."""
    return [
        node.node
        for node in sorted(begun, key=lambda node: node.order)
        if node.must_be_undone and node.node not in undone
    ]


def is_whole(outcomes: Collection[Outcome]) -> bool:
    """Whether a rollback with these outcomes put everything back; unless it did, a run exits with 4."""
    return WHOLE.issuperset(outcomes)
