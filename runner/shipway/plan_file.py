"""A plan read back from its file: digest, schema, its nodes as a graph, and then its values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shipway import canonical
from shipway.approvals import rule_from_json
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.declaration import OnCancel, OnFailure, Rollback, StateRule, StateStore
from shipway.errors import Position, Reason, UsageError, VerificationError
from shipway.graph import Graph, GraphError
from shipway.hooks import hook_from_json
from shipway.limits import limit_from_json
from shipway.node_json import node_from_json, retry_from_json
from shipway.nodes import Promise
from shipway.plan import COMPENSATION_PART, PLAN_SCHEMA, Durability, Plan, PlannedSource, PlannedStage
from shipway.policies import (
    policy_from_json,
    verdict_from_json,
)
from shipway.preflight import finding_from_json
from shipway.weakenings import weakening_from_json


def load_plan(content: bytes, check: Callable[[Mapping[str, Json]], None]) -> Plan:
    """The plan in `content`, which holds exactly its canonical bytes.

    Digest first, then schema version, then `check` (the JSON Schema). Raises VerificationError (`plan-digest`) or
    UsageError (`document-invalid`), each naming what to do.
    """
    data = canonical.load_sealed(content, kind="plan", versions=(PLAN_SCHEMA,), reason=Reason.PLAN_DIGEST)
    check(data)
    plan = plan_from_json(data)
    _check_whole(plan)
    if plan.effect != data["effect"]:
        raise VerificationError("the plan's `effect` is not that of its nodes", reason=Reason.PLAN_DIGEST)
    if plan.document != data:
        raise VerificationError("the plan's `on_rollback` is not that of its nodes", reason=Reason.PLAN_DIGEST)
    return plan


def _check_whole(plan: Plan) -> None:
    """Refuse a document whose nodes make no graph: whoever reads it may rely on what planning has made sure of."""
    for node in plan.nodes:
        if node.stage not in plan.stages_by_id or not node.step or node.id != f"{node.stage}/{node.step}":
            raise UsageError(f"node `{node.id}` is in no stage of the plan", reason=Reason.DOCUMENT_INVALID)
    for stage in plan.stages:
        _check_compensation(stage, plan)
    try:
        plan.graph().topological_order()
        Graph(stage.id for stage in plan.stages)
        for stage in plan.stages:
            stage.compensation_order()
    except GraphError as error:
        raise UsageError(f"not a valid plan: {error.message}", reason=Reason.DOCUMENT_INVALID) from error


def _check_compensation(stage: PlannedStage, plan: Plan) -> None:
    """Refuse nodes of a compensation under another name, and those that refer to a node there is not."""
    part = f"{stage.id}.{COMPENSATION_PART}"
    known = {*plan.by_id, *(node.id for node in stage.compensation)}
    for node in stage.compensation:
        if node.stage != part or not node.step or node.id != f"{part}/{node.step}":
            text = f"node `{node.id}` is in the compensation of stage `{stage.id}` and does not belong there"
            raise UsageError(text, reason=Reason.DOCUMENT_INVALID)
        slots = (*node.slots.values(), *node.env.values())
        named = {*(need.node for need in node.needs), *(slot.node for slot in slots if isinstance(slot, Promise))}
        for unknown in sorted(named - known):
            text = f"node `{node.id}` refers to the unknown node `{unknown}`"
            raise UsageError(text, reason=Reason.DOCUMENT_INVALID)


def _state_from_json(data: Mapping[str, Json]) -> StateRule:
    texts = {key: str(data[key]) for key in ("remote", "url", "key")}
    return StateRule(StateStore(str(data["store"])), **texts)


def plan_from_json(data: Mapping[str, Json]) -> Plan:
    """The plan that `document` wrote. What was read from outside has passed the schema; see `load_plan`."""
    on_cancel = data["on_cancel"]
    return Plan(
        lifecycle=str(data["lifecycle"]),
        target=str(data["target"]),
        platform=str(data["platform"]),
        source=_source_from_json(object_of(data["source"])),
        shipway=str(object_of(data["versions"])["shipway"]),
        stages=tuple(_stage_from_json(object_of(stage)) for stage in items_of(data["stages"])),
        nodes=tuple(node_from_json(object_of(node)) for node in items_of(data["nodes"])),
        secrets=tuple(str(name) for name in items_of(data["secrets"])),
        limits={name: limit_from_json(object_of(limit)) for name, limit in object_of(data["limits"]).items()},
        locks=tuple(str(name) for name in items_of(data["locks"])),
        is_locked=data["lock"] != "none",
        policies=tuple(policy_from_json(object_of(policy)) for policy in items_of(data["policies"])),
        preflight=tuple(finding_from_json(object_of(each)) for each in items_of(data["preflight"])),
        verdicts=tuple(verdict_from_json(object_of(verdict)) for verdict in items_of(data["verdicts"])),
        durability=Durability(str(data["durability"])),
        weakens=tuple(weakening_from_json(object_of(each)) for each in items_of(data["weakens"])),
        parallel=integer_of(data["parallel"]),
        on_failure=OnFailure(str(data["on_failure"])),
        rollback=Rollback(str(data["rollback"])),
        on_cancel=None if on_cancel is None else OnCancel(str(on_cancel)),
        hooks=tuple(hook_from_json(object_of(hook)) for hook in items_of(data["hooks"])),
        state=_state_from_json(object_of(data["state"])),
    )


def _source_from_json(data: Mapping[str, Json]) -> PlannedSource:
    return PlannedSource(
        file=str(data["file"]),
        files=tuple(str(name) for name in items_of(data["files"])),
        declaration=str(data["declaration"]),
        repository=text_or_none(data["repository"]),
        commit=text_or_none(data["commit"]),
        tree=text_or_none(data["tree"]),
        merge_base=text_or_none(data["merge_base"]),
        dirty=bool(data["dirty"]),
    )


def _stage_from_json(data: Mapping[str, Json]) -> PlannedStage:
    file, line, column = items_of(data["position"])
    return PlannedStage(
        id=str(data["id"]),
        mode=str(data["mode"]),
        backend=str(data["backend"]),
        contract=integer_of(data["contract"]),
        position=Position(str(file), integer_of(line), integer_of(column)),
        needs=tuple(str(need) for need in items_of(data["needs"])),
        condition=text_or_none(data["condition"]),
        context=object_of(data["context"]),
        on_failure=OnFailure(str(data["on_failure"])),
        rollback=None if data["rollback"] is None else Rollback(str(data["rollback"])),
        parallel=integer_of(data["parallel"]),
        compensation=tuple(node_from_json(object_of(node)) for node in items_of(data["compensation"])),
        retry=retry_from_json(object_of(data["retry"])),
        approval=rule_from_json(data["approval"]),
        policies=tuple(policy_from_json(object_of(each), str(data["id"])) for each in items_of(data["policies"])),
    )
