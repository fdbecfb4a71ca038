"""Nodes as JSON: as they stand in a plan, and of that what decides what they do. Values only, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from shipway import canonical
from shipway.canonical import Json, integer_of, integer_or_none, items_of, object_of, text_or_none
from shipway.declaration import Backoff, OnFailure, OutputRule, Retry
from shipway.errors import Position
from shipway.nodes import (
    Change,
    Computed,
    Fidelity,
    Gather,
    Immediate,
    Need,
    NeedKind,
    Node,
    Promise,
    Proxy,
    Reads,
    Slot,
)


def slot_json(slot: Slot) -> Json:
    """`{"value": …}`, `{"node": id, "output": name}`, `{"expression": text, list or object}`, `{"gather": id, "field": name}`."""
    match slot:
        case Immediate(value):
            return {"value": value}
        case Promise(node, output):
            return {"node": node, "output": output}
        case Computed(expression):
            return {"expression": expression}
        case Proxy(gather, field_):
            return {"gather": gather, "field": field_}


def slot_from_json(data: Mapping[str, Json]) -> Slot:
    """The slot that `slot_json` wrote. The schema has made sure that exactly one form is present."""
    if "value" in data:
        return Immediate(data["value"])
    if "expression" in data:
        return Computed(data["expression"])
    if "gather" in data:
        return Proxy(str(data["gather"]), text_or_none(data["field"]))
    output = data["output"]
    return Promise(str(data["node"]), None if output is None else str(output))


def has_odd_value(node: Node) -> bool:
    """Whether a value in the node is odd, as `canonical.has_odd_value` has it."""
    values: list[Json] = [node.timeout_ms, node.undo_timeout_ms, node.every_ms, node.emits]
    for told in (node.before, node.after, node.predicted, node.facts):
        if type(told) is dict:
            values += told.values()
        else:
            values.append(told)
    for slot in (*node.slots.values(), *node.env.values()):
        if type(slot) is Immediate:
            values.append(slot.value)
        elif type(slot) is Computed:
            values.append(slot.expression)
    # Most are texts or nothing, of which nobody needs to be asked.
    if any(map(canonical.has_odd_value, [value for value in values if type(value) is not str and value is not None])):
        return True
    has_odd_retry = _is_odd(node.retry) or (node.undo_retry is not node.retry and _is_odd(node.undo_retry))
    return has_odd_retry or any(map(has_odd_value, node.all_templates()))


@cache
def _is_odd(retry: Retry) -> bool:
    return canonical.has_odd_value(_retry_members(retry))


def effect_json(node: Node) -> dict[str, Json]:
    """All of a node that decides what is done, and nothing that varies with commit, time, machine or observed world."""
    # Here and in `node_json` in the order of the canonical form: to sort thousands of them takes longer than to write them.
    retry = _retry_members(node.retry)
    return {
        "action": node.action,
        "allow_failure": node.allow_failure,
        "condition": node.condition,
        "dedup": node.dedup,
        "emits": node.emits,
        "env": _slots_json(node.env),
        "env_from": list(node.env_from),
        "every_ms": node.every_ms,
        "exclusive": node.exclusive,
        "gather": None if node.gather is None else _gather_json(node.gather),
        "id": node.id,
        "lasting": node.lasting,
        "limits": list(node.limits),
        "locks": list(node.locks),
        "needs": sorted([need.node, need.kind.value] for need in node.needs) if node.needs else [],
        "oidc": list(node.oidc),
        "outputs": _outputs_json(node.outputs),
        "privileged": node.privileged,
        "reads": node.reads.digest,
        "retry": retry,
        "slots": _slots_json(node.slots),
        "templates": {name: [_template_effect(each, node) for each in nodes] for name, nodes in node.templates.items()},
        "timeout_ms": node.timeout_ms,
        "undo_retry": retry if node.undo_retry is node.retry else _retry_members(node.undo_retry),
        "undo_timeout_ms": node.undo_timeout_ms,
    }


def _template_effect(template: Node, owner: Node) -> Json:
    """The effect of a template; of the files it reads only those that the node it belongs to does not."""
    found = effect_json(template)
    return {name: value for name, value in found.items() if name != "reads" or template.reads != owner.reads}


def _slots_json(slots: Mapping[str, Slot]) -> dict[str, Json]:
    return {name: {"value": slot.value} if type(slot) is Immediate else slot_json(slot) for name, slot in slots.items()}


def _outputs_json(outputs: Mapping[str, OutputRule]) -> dict[str, Json]:
    return {name: {"required": rule.required, "type": rule.type} for name, rule in outputs.items()}


def node_json(node: Node) -> dict[str, Json]:
    """The node as it stands in a plan."""
    is_plain = not (node.gather or node.templates or node.emits or node.every_ms or node.privileged or node.oidc)
    has_flow = not is_plain or node.dedup is not None
    position, reads, retry = node.position, node.reads, _retry_members(node.retry)
    return {
        "action": node.action,
        "after": node.after,
        "allow_failure": node.allow_failure,
        "before": node.before,
        "change": node.change.value,
        "condition": node.condition,
        "env": _slots_json(node.env),
        "env_from": list(node.env_from),
        "exclusive": node.exclusive,
        "facts": dict(node.facts),
        "fidelity": node.fidelity.value,
        "flow": _flow_json(node) if has_flow else None,
        "id": node.id,
        "lasting": node.lasting,
        "limits": list(node.limits),
        "locks": list(node.locks),
        "needs": [{"kind": need.kind.value, "node": need.node, "resource": need.resource} for need in node.needs],
        "outputs": _outputs_json(node.outputs),
        "position": [position.file, position.line, position.column],
        "predicted": dict(node.predicted),
        "reads": {"digest": reads.digest, "patterns": list(reads.patterns)},
        "retry": retry,
        "reversible": node.reversible,
        "slots": _slots_json(node.slots),
        "stage": node.stage,
        "tags": list(node.tags),
        "timeout_ms": node.timeout_ms,
        "title": node.title,
        "undo_retry": retry if node.undo_retry is node.retry else _retry_members(node.undo_retry),
        "undo_timeout_ms": node.undo_timeout_ms,
        "why": node.why,
    }


def _flow_json(node: Node) -> dict[str, Json]:
    """How a node runs others, or runs again; few do either."""
    return {
        "gather": None if node.gather is None else _gather_json(node.gather),
        "templates": {name: [node_json(each) for each in nodes] for name, nodes in node.templates.items()},
        "emits": node.emits,
        "every_ms": node.every_ms,
        "privileged": node.privileged,
        "dedup": node.dedup,
        "oidc": list(node.oidc),
    }


def node_from_json(data: Mapping[str, Json]) -> Node:
    """The node that `node_json` wrote; `data` has passed the plan's schema."""
    file, line, column = items_of(data["position"])
    reads = object_of(data["reads"])
    return Node(
        id=str(data["id"]),
        stage=str(data["stage"]),
        action=str(data["action"]),
        position=Position(str(file), integer_of(line), integer_of(column)),
        title=str(data["title"]),
        tags=_texts(data["tags"]),
        slots={name: slot_from_json(object_of(slot)) for name, slot in object_of(data["slots"]).items()},
        env={name: slot_from_json(object_of(slot)) for name, slot in object_of(data["env"]).items()},
        env_from=_texts(data["env_from"]),
        needs=tuple(_need(object_of(need)) for need in items_of(data["needs"])),
        condition=None if data["condition"] is None else str(data["condition"]),
        outputs={name: _output(object_of(rule)) for name, rule in object_of(data["outputs"]).items()},
        change=Change(str(data["change"])),
        fidelity=Fidelity(str(data["fidelity"])),
        why=str(data["why"]),
        before=data["before"],
        after=data["after"],
        predicted=object_of(data["predicted"]),
        lasting=bool(data["lasting"]),
        reversible=bool(data["reversible"]),
        retry=retry_from_json(object_of(data["retry"])),
        timeout_ms=integer_of(data["timeout_ms"]),
        undo_retry=retry_from_json(object_of(data["undo_retry"])),
        undo_timeout_ms=integer_of(data["undo_timeout_ms"]),
        limits=_texts(data["limits"]),
        locks=_texts(data["locks"]),
        exclusive=bool(data["exclusive"]),
        allow_failure=bool(data["allow_failure"]),
        reads=Reads(_texts(reads["patterns"]), str(reads["digest"])),
        facts=object_of(data["facts"]),
        **_flow(data["flow"]),  # type: ignore[arg-type]
    )


def _flow(written: Json) -> dict[str, object]:
    if written is None:
        return {}
    data = object_of(written)
    templates = object_of(data["templates"])
    return {
        "gather": None if data["gather"] is None else _gather(object_of(data["gather"])),
        "templates": {
            name: tuple(node_from_json(object_of(each)) for each in items_of(nodes))
            for name, nodes in templates.items()
        },
        "emits": integer_of(data["emits"]),
        "every_ms": integer_of(data["every_ms"]),
        "privileged": data["privileged"] is True,
        "dedup": text_or_none(data["dedup"]),
        "oidc": _texts(data["oidc"]),
    }


def _need(data: Mapping[str, Json]) -> Need:
    return Need(str(data["node"]), NeedKind(str(data["kind"])), str(data["resource"]))


def _output(data: Mapping[str, Json]) -> OutputRule:
    return OutputRule(str(data["type"]), bool(data["required"]))


def _gather_json(gather: Gather) -> Json:
    return {
        "keys": None if gather.keys is None else list(gather.keys),
        "limit": gather.limit,
        "key": gather.key,
        "max": gather.max,
        "on_failure": None if gather.on_failure is None else gather.on_failure.value,
    }


def _gather(data: Mapping[str, Json]) -> Gather:
    return Gather(
        keys=None if data["keys"] is None else _texts(data["keys"]),
        limit=integer_of(data["limit"]),
        key=text_or_none(data["key"]),
        max=integer_of(data["max"]),
        on_failure=None if data["on_failure"] is None else OnFailure(str(data["on_failure"])),
    )


def retry_json(retry: Retry) -> Json:
    """`{"attempts", "backoff", "initial_ms", "max_ms", "jitter_percent"}`."""
    return dict(_retry_members(retry))


@cache
def _retry_members(retry: Retry) -> Mapping[str, Json]:
    return {
        "attempts": retry.attempts,
        "backoff": retry.backoff.value,
        "initial_ms": retry.initial_ms,
        "jitter_percent": retry.jitter_percent,
        "max_ms": retry.max_ms,
    }


def retry_from_json(data: Mapping[str, Json]) -> Retry:
    """The policy that `retry_json` wrote."""
    longest = integer_or_none(data["max_ms"])
    whole = [integer_of(data[name]) for name in ("attempts", "initial_ms", "jitter_percent")]
    return _retry(*whole, str(data["backoff"]), longest)


@cache
def _retry(attempts: int, initial_ms: int, jitter_percent: int, backoff: str, max_ms: int | None) -> Retry:
    """Of thousands of nodes, nearly all have the same one."""
    return Retry(attempts, Backoff(backoff), initial_ms, max_ms, jitter_percent)


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in items_of(value)) if value else ()
