"""The plan as the scheduler sees it: items with their needs, stages as gates, and what bounds concurrency. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.conditions import Conditions
from shipway.nodes import Need, NeedKind, Node
from shipway.plan import Plan, PlannedStage
from shipway.room import Bounds, Item


def items_of(plan: Plan, conditions: Conditions, usual_ms: Mapping[str, int] | None = None) -> list[Item]:
    """One item per node in declared order, then a gate for each stage that another one needs.

    `usual_ms` is what nodes took in earlier runs, by id, where that is known.
    """
    usual_ms = usual_ms or {}
    outliving = {stage.id for stage in plan.stages if conditions.outlives_failure(stage.condition)}
    items = [
        _item(
            node,
            plan.stages_by_id[node.stage],
            stage_outlives=node.stage in outliving,
            node_outlives=conditions.outlives_failure(node.condition),
            usual_ms=usual_ms.get(node.id),
        )
        for node in plan.nodes
    ]
    return [*items, *_gates(plan)]


def bounds_of(plan: Plan, parallel: int) -> Bounds:
    """What bounds concurrency, where `parallel` nodes of the run may run at once."""
    return Bounds(
        parallel=parallel,
        stage_parallel={stage.id: stage.parallel for stage in plan.stages if stage.parallel},
        limits={name: limit.parallel for name, limit in plan.limits.items()},
        rates={name: limit.rate for name, limit in plan.limits.items() if limit.rate is not None},
        on_failure=plan.on_failure,
        stage_policies={stage.id: stage.on_failure for stage in plan.stages},
    )


def members_of(plan: Plan) -> dict[str, list[Node]]:
    """The nodes of each stage, in declared order."""
    found: dict[str, list[Node]] = {stage.id: [] for stage in plan.stages}
    for node in plan.nodes:
        found[node.stage].append(node)
    return found


def _item(node: Node, stage: PlannedStage, *, stage_outlives: bool, node_outlives: bool, usual_ms: int | None) -> Item:
    kind = NeedKind.OPTIONAL if stage_outlives else NeedKind.NEEDS
    # An optional need keeps nothing back: such a node waits for the stages before its own like a first one.
    inner = (need for need in node.needs if need.kind is not NeedKind.OPTIONAL)
    is_root = not any(need.node.startswith(node.stage + "/") for need in inner)
    gates = tuple(Need(before, kind) for before in stage.needs) if is_root else ()
    return Item(
        id=node.id,
        needs=(*node.needs, *gates),
        stage=node.stage,
        limits=node.limits,
        locks=node.locks,
        exclusive=node.exclusive,
        conditional=stage.condition is not None or node.condition is not None,
        outlives_failure=stage_outlives or node_outlives,
        allow_failure=node.allow_failure,
        duration_ms=usual_ms,
    )


def _gates(plan: Plan) -> list[Item]:
    needed = {need for stage in plan.stages for need in stage.needs}
    members = members_of(plan)
    gates = []
    for stage in plan.stages:
        if stage.id in needed:
            needs = (need for node in members[stage.id] for need in node.needs)
            inner = {need.node for need in needs if need.kind is not NeedKind.OPTIONAL}
            ends = (Need(node.id, NeedKind.ORDER) for node in members[stage.id] if node.id not in inner)
            # The stages before it count as well, so that a failure is known to all that come later, whatever outlived it.
            gates.append(Item(stage.id, (*ends, *map(Need, stage.needs)), stage.id, gate=True))
    return gates
