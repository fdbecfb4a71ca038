"""What a rollback of a plan would do, worked out of its nodes in the order they would start. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from shipway.canonical import Json
from shipway.nodes import NeedKind, Node


class StageRollback(Struct, frozen=True):
    """What the rollback of one stage would do, as node ids: `compensated` runs first, then what is `undone`.

    `stays` is lasting and cannot be undone.
    """

    stage: str
    compensated: tuple[str, ...]
    undone: tuple[str, ...]
    stays: tuple[str, ...]


class RollbackPreview(Struct, frozen=True):
    """What a rollback would do, stage by stage, the last first.

    `point_of_no_return` is the first node in order after which a rollback can no longer be whole, or None.
    """

    stages: tuple[StageRollback, ...]
    point_of_no_return: str | None

    def to_json(self) -> Json:
        """`{"stages": [{"stage", "compensated", "undone", "stays"}], "point_of_no_return"}`."""
        return {
            "stages": [
                {
                    "stage": each.stage,
                    "compensated": list(each.compensated),
                    "undone": list(each.undone),
                    "stays": list(each.stays),
                }
                for each in self.stages
            ],
            "point_of_no_return": self.point_of_no_return,
        }


def rollback_preview(nodes: Sequence[Node], compensated: Mapping[str, tuple[str, ...]]) -> RollbackPreview:
    """What would be undone if the last of `nodes` failed, and where undoing everything stops being possible.

    They are given in an order in which they may start, what opens a body before what is in it. `compensated` are the ids of
    the nodes of each compensation in the order they run, by stage.
    """
    never = _never_run(nodes)
    order = [each for node in nodes if node.id not in never for each in (node, *node.all_templates())]
    point = next((node.id for node in order if node.must_be_undone and not node.reversible), None)
    backwards: dict[str, tuple[list[str], list[str]]] = {}
    for node in reversed(order):
        if node.must_be_undone:
            backwards.setdefault(node.stage, ([], []))[0 if node.reversible else 1].append(node.id)
        elif node.stage in compensated:
            backwards.setdefault(node.stage, ([], []))
    stages = [
        StageRollback(stage, compensated.get(stage, ()), tuple(undone), tuple(stays))
        for stage, (undone, stays) in backwards.items()
    ]
    return RollbackPreview(tuple(stages), point)


def _never_run(nodes: Sequence[Node]) -> set[str]:
    """The nodes whose `if` was found false when planned, and what is in the body of one."""
    found = {node.id for node in nodes if node.condition == "false"}
    for node in nodes:
        if any(need.kind is NeedKind.WITHIN and need.node in found for need in node.needs):
            found.add(node.id)
    return found
