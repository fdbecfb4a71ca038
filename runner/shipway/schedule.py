"""The plan as the scheduler sees it: items with their needs, stages as gates, and what bounds concurrency. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from shipway.conditions import Conditions
from shipway.declaration import OnFailure
from shipway.node_ids import owner_of, turns_of
from shipway.nodes import Need, NeedKind, Node
from shipway.plan import Plan, PlannedStage
from shipway.room import Bounds, Item
from shipway.vertices import end_of, ends_of, gates_of, groups_of, needs_of, opener_of


def items_of(
    plan: Plan,
    conditions: Conditions,
    usual_ms: Mapping[str, int] | None = None,
    is_quick: Callable[[Node], bool] = lambda node: False,
) -> list[Item]:
    """One item per node in declared order, then gates for bodies and for each stage that another one needs.

    `usual_ms` is what nodes took in earlier runs, by id, where that is known; `is_quick` says which are carried out one by one
    on the executor's own thread: where nobody said how many may run at once, they take no slot.
    """
    items = node_items(plan, plan.nodes, conditions, usual_ms or {})
    if not plan.parallel:
        items = [
            replace(item, is_light=True) if not plan.stages_by_id[node.stage].parallel and is_quick(node) else item
            for item, node in zip(items, plan.nodes, strict=True)
        ]
    return [*items, *_body_gates(plan.nodes), *_gates(plan)]


class GrowthItems(Struct, frozen=True):
    """What a node adds to a schedule: items, which of them its gate waits for, and the limits of the gathers among them."""

    items: Sequence[Item]
    ends: Sequence[str]
    gathers: Mapping[str, int]


def growth_items(
    plan: Plan, node: Node, children: Sequence[Node], conditions: Conditions, usual_ms: Mapping[str, int]
) -> GrowthItems:
    """The children that `node` adds to the run of `plan`."""
    gates = _body_gates(children)
    return GrowthItems(
        items=[*node_items(plan, children, conditions, usual_ms), *gates],
        ends=[end_of(child) for child in children if opener_of(child) == node.id],
        gathers={child.id: child.gather.limit for child in children if child.gather is not None},
    )


def node_items(plan: Plan, nodes: Sequence[Node], conditions: Conditions, usual_ms: Mapping[str, int]) -> list[Item]:
    """One item for each of `nodes`, which are in the plan or are added to it."""
    outliving = {stage.id for stage in plan.stages if conditions.outlives_failure(stage.condition)}
    groups = groups_of(plan.nodes) | groups_of(nodes) if nodes is not plan.nodes else groups_of(nodes)
    policies = {node.id: node.gather.on_failure for node in (*plan.nodes, *nodes) if node.gather is not None}
    return [
        _item(
            node,
            needs_of(node, groups),
            plan.stages_by_id[node.stage],
            policies,
            stage_outlives=node.stage in outliving,
            node_outlives=conditions.outlives_failure(node.condition),
            usual_ms=usual_ms.get(node.id),
        )
        for node in nodes
    ]


def bounds_of(plan: Plan, parallel: int) -> Bounds:
    """What bounds concurrency, where `parallel` nodes of the run may run at once."""
    return Bounds(
        parallel=parallel,
        stage_parallel={stage.id: stage.parallel for stage in plan.stages if stage.parallel},
        limits={name: limit.parallel for name, limit in plan.limits.items()},
        rates={name: limit.rate for name, limit in plan.limits.items() if limit.rate is not None},
        on_failure=plan.on_failure,
        stage_policies={stage.id: stage.on_failure for stage in plan.stages},
        gathers={node.id: node.gather.limit for node in plan.nodes if node.gather is not None},
    )


def members_of(plan: Plan) -> dict[str, list[Node]]:
    """The nodes of each stage, in declared order."""
    found: dict[str, list[Node]] = {stage.id: [] for stage in plan.stages}
    for node in plan.nodes:
        found[node.stage].append(node)
    return found


def _item(
    node: Node,
    needs: tuple[Need, ...],
    stage: PlannedStage,
    policies: Mapping[str, OnFailure | None],
    *,
    stage_outlives: bool,
    node_outlives: bool,
    usual_ms: int | None,
) -> Item:
    kind = NeedKind.OPTIONAL if stage_outlives else NeedKind.NEEDS
    # An optional need keeps nothing back: such a node waits for the stages before its own like a first one.
    inner = (need for need in needs if need.kind is not NeedKind.OPTIONAL)
    is_root = not any(need.node.startswith(node.stage + "/") for need in inner)
    gates = tuple(Need(before, kind) for before in stage.needs) if is_root else ()
    turns = tuple(turns_of(node.id)) if "[" in node.id else ()
    return Item(
        id=node.id,
        needs=(*needs, *gates),
        stage=node.stage,
        limits=node.limits,
        locks=node.locks,
        exclusive=node.exclusive,
        conditional=stage.condition is not None or node.condition is not None,
        outlives_failure=stage_outlives or node_outlives,
        allow_failure=node.allow_failure,
        duration_ms=usual_ms,
        turns=turns,
        on_failure=next(filter(None, (policies.get(gather) for gather, _ in reversed(turns))), None),
    )


def _body_gates(nodes: Sequence[Node]) -> list[Item]:
    """A gate for each body, and for each node that adds others when it runs, with all that is in it before it."""
    by_id = {node.id: node for node in nodes if node.has_gate}
    return [
        Item(
            gate,
            tuple(Need(before, NeedKind.ORDER) for before in befores),
            by_id[owner_of(gate)].stage,
            gate=True,
            is_body=True,
            allow_failure=by_id[owner_of(gate)].allow_failure,
        )
        for gate, befores in gates_of(nodes).items()
        if owner_of(gate) in by_id
    ]


def _gates(plan: Plan) -> list[Item]:
    needed = {need for stage in plan.stages for need in stage.needs}
    members = members_of(plan)
    groups = groups_of(plan.nodes)
    gates = []
    for stage in plan.stages:
        if stage.id in needed:
            needs = (need for node in members[stage.id] for need in needs_of(node, groups))
            inner = {need.node for need in needs if need.kind is not NeedKind.OPTIONAL}
            ends = (Need(end, NeedKind.ORDER) for end in ends_of(members[stage.id]) if end not in inner)
            # The stages before it count as well, so that a failure is known to all that come later, whatever outlived it.
            gates.append(Item(stage.id, (*ends, *map(Need, stage.needs)), stage.id, gate=True))
    return gates
