"""Nodes of the graph and what they are made of: slots, needs, changes, outcomes. Values only; JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import TypeAlias

from msgspec import Struct, field

from shipway import canonical
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.declaration import Backoff, OnFailure, OutputRule, Retry
from shipway.errors import Position


class Change(StrEnum):
    """What a node does to the world."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    RUN = "run"
    READ = "read"
    NOOP = "noop"


class Fidelity(StrEnum):
    """How far a planned node can be trusted: it does exactly this; it said what it would do; only running it tells."""

    EXACT = "exact"
    PREDICTED = "predicted"
    OPAQUE = "opaque"


class Outcome(StrEnum):
    """How a node ended. `unknown`: a change on the world was begun and never reported."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    NOT_STARTED = "not_started"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    NOT_UNDOABLE = "not_undoable"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"


DONE = frozenset({Outcome.SUCCEEDED, Outcome.UNCHANGED})
"""Outcomes that satisfy whoever needs the node and promises its outputs."""

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNKNOWN})
"""Outcomes that are a failure of the node itself."""


WHOLE = frozenset({Outcome.UNDONE, *DONE, Outcome.SKIPPED})
"""How an undo, or a node of a compensation, ends that did its part of a rollback."""


class Verified(StrEnum):
    """Whether a node's work is there."""

    HOLDS = "holds"
    GONE = "gone"
    UNKNOWN = "unknown"


class Immediate(Struct, frozen=True):
    """A slot whose value is known when planned."""

    value: Json


class Promise(Struct, frozen=True):
    """A slot filled with another node's output; without `output`, with all its outputs as one object."""

    node: str
    output: str | None = None


class Computed(Struct, frozen=True):
    """A slot with `${{ }}` in its text, or in texts inside its list or object, evaluated when the node starts.

    Secrets stand in it by name only.
    """

    expression: Json


class Proxy(Struct, frozen=True):
    """A slot filled with the item of the enclosing gather called `gather`, or with one `field` of it.

    It stands in templates only: a node that is planned or added has the value. A field that is not there is null.
    """

    gather: str
    field: str | None = None

    def of(self, item: Json) -> Json:
        """The value for one item."""
        if self.field is None:
            return item
        return item.get(self.field) if isinstance(item, Mapping) else None


Slot: TypeAlias = Immediate | Promise | Computed | Proxy


class NeedKind(StrEnum):
    """Why a node waits: its place in a list, `needs`, an output it takes, something it reads, `optional_needs`, its body."""

    ORDER = "order"
    NEEDS = "needs"
    PROMISE = "promise"
    RESOURCE = "resource"
    OPTIONAL = "optional"
    WITHIN = "within"


class Need(Struct, frozen=True):
    """An edge from `node` to the node that holds this need; `resource` is what that one writes and this one reads, or empty."""

    node: str
    kind: NeedKind = NeedKind.NEEDS
    resource: str = ""


WHOLE_TREE = ("**",)
"""What a node reads where nobody said."""


class Reads(Struct, frozen=True):
    """The files a node depends on: the patterns as declared and the digest of what they match (paths and contents)."""

    patterns: tuple[str, ...]
    digest: str

    @property
    def is_whole_tree(self) -> bool:
        """Whether it is every file, as where nobody said."""
        return self.patterns == WHOLE_TREE


GATHER, CHOOSE = "flow.gather", "flow.choose"
"""What stands as action where a node only opens its members: constructs of the document, which no registry has."""


class Gather(Struct, frozen=True):
    """How a node runs its template once per item: at most `limit` iterations at once, in the order of `keys`.

    `keys` is None where the items are known only when run; then there are at most `max` (0: any number). `key` is the text
    that an iteration's key is worked out from, None for its value. `on_failure` None is the stage's.
    """

    keys: tuple[str, ...] | None = None
    limit: int = 1
    key: str | None = None
    max: int = 0
    on_failure: OnFailure | None = None


class Node(Struct, frozen=True):
    """One unit of work. `slots` and `env` are what it is given; `predicted` holds outputs its plan foretold.

    `before` and `after` describe the world around an `exact` change (keys are the action's own). `reversible` says whether
    the action can undo it; `waits_for` names what made it less than exact. `condition` is the text of `if`, already without
    what was known when planned; `timeout_ms` 0 means none. `undo_retry` and `undo_timeout_ms` hold for its undo. `facts` is what a
    backend knows besides, such as the layer a file is of: people read it, and the records of what the node makes hold it.
    """

    id: str
    stage: str
    action: str
    position: Position
    title: str = ""
    tags: tuple[str, ...] = ()
    slots: Mapping[str, Slot] = field(default_factory=dict)
    env: Mapping[str, Slot] = field(default_factory=dict)
    env_from: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    condition: str | None = None
    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    change: Change = Change.RUN
    fidelity: Fidelity = Fidelity.OPAQUE
    why: str = ""
    before: Json = None
    after: Json = None
    predicted: Mapping[str, Json] = field(default_factory=dict)
    lasting: bool = True
    reversible: bool = False
    retry: Retry = field(default_factory=Retry)
    timeout_ms: int = 0
    undo_retry: Retry = field(default_factory=Retry)
    undo_timeout_ms: int = 0
    limits: tuple[str, ...] = ()
    exclusive: bool = False
    allow_failure: bool = False
    reads: Reads = field(default_factory=lambda: Reads((), ""))
    locks: tuple[str, ...] = ()
    gather: Gather | None = None
    templates: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    emits: int = 0
    every_ms: int = 0
    privileged: bool = False
    dedup: str | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether it does nothing by itself: it is over when all of its members are."""
        return self.action in (GATHER, CHOOSE)

    @property
    def has_gate(self) -> bool:
        """Whether what comes after it waits for its members too."""
        return self.is_group or self.emits > 0

    def all_templates(self) -> Iterator[Node]:
        """The nodes of its templates, and of theirs."""
        for nodes in self.templates.values():
            for node in nodes:
                yield node
                yield from node.all_templates()

    @property
    def must_be_undone(self) -> bool:
        """Whether a rollback has to care about this node once it was begun."""
        return self.lasting and self.change not in (Change.READ, Change.NOOP)

    @property
    def step(self) -> str:
        """The id without its stage."""
        return self.id.removeprefix(self.stage + "/")


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
    values = [node.before, node.after, node.timeout_ms, node.undo_timeout_ms, node.every_ms, node.emits]
    values += node.predicted.values()
    values += node.facts.values()
    for slot in (*node.slots.values(), *node.env.values()):
        if type(slot) is Immediate:
            values.append(slot.value)
        elif type(slot) is Computed:
            values.append(slot.expression)
    # Most are texts or nothing, of which nobody needs to be asked.
    if any(map(canonical.has_odd_value, [value for value in values if type(value) is not str and value is not None])):
        return True
    retries = map(_retry_members, {node.retry, node.undo_retry} if node.retry is not node.undo_retry else [node.retry])
    return any(map(canonical.has_odd_value, retries)) or any(map(has_odd_value, node.all_templates()))


def effect_json(node: Node) -> dict[str, Json]:
    """All of a node that decides what is done, and nothing that varies with commit, time, machine or observed world."""
    return {**_work_json(node), **_flow_json(node, lambda template: _template_effect(template, node))}


def _template_effect(template: Node, owner: Node) -> Json:
    """The effect of a template; of the files it reads only those that the node it belongs to does not."""
    found = effect_json(template)
    return {name: value for name, value in found.items() if name != "reads" or template.reads != owner.reads}


def _work_json(node: Node) -> dict[str, Json]:
    retry = _retry_members(node.retry)
    return {
        "id": node.id,
        "action": node.action,
        "slots": {name: slot_json(slot) for name, slot in node.slots.items()},
        "env": {name: slot_json(slot) for name, slot in node.env.items()},
        "env_from": list(node.env_from),
        "needs": sorted([need.node, need.kind.value] for need in node.needs),
        "condition": node.condition,
        "outputs": {name: {"type": rule.type, "required": rule.required} for name, rule in node.outputs.items()},
        "lasting": node.lasting,
        "retry": dict(retry),
        "timeout_ms": node.timeout_ms,
        "undo_retry": dict(retry if node.undo_retry is node.retry else _retry_members(node.undo_retry)),
        "undo_timeout_ms": node.undo_timeout_ms,
        "limits": list(node.limits),
        "locks": list(node.locks),
        "exclusive": node.exclusive,
        "allow_failure": node.allow_failure,
        "reads": node.reads.digest,
    }


def node_json(node: Node) -> dict[str, Json]:
    """The node as it stands in a plan."""
    has_flow = node.gather or node.templates or node.emits or node.every_ms or node.privileged or node.dedup is not None
    return {
        **_work_json(node),
        "stage": node.stage,
        "position": [node.position.file, node.position.line, node.position.column],
        "title": node.title,
        "tags": list(node.tags),
        "needs": [{"node": need.node, "kind": need.kind.value, "resource": need.resource} for need in node.needs],
        "change": node.change.value,
        "fidelity": node.fidelity.value,
        "why": node.why,
        "before": node.before,
        "after": node.after,
        "predicted": dict(node.predicted),
        "reversible": node.reversible,
        "reads": {"patterns": list(node.reads.patterns), "digest": node.reads.digest},
        "flow": _flow_json(node, node_json) if has_flow else None,
        "facts": dict(node.facts),
    }


def _flow_json(node: Node, inner: Callable[[Node], Json]) -> dict[str, Json]:
    """How a node runs others, or runs again; few do either."""
    return {
        "gather": None if node.gather is None else _gather_json(node.gather),
        "templates": {name: [inner(each) for each in nodes] for name, nodes in node.templates.items()},
        "emits": node.emits,
        "every_ms": node.every_ms,
        "privileged": node.privileged,
        "dedup": node.dedup,
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
        "max_ms": retry.max_ms,
        "jitter_percent": retry.jitter_percent,
    }


def retry_from_json(data: Mapping[str, Json]) -> Retry:
    """The policy that `retry_json` wrote."""
    return Retry(
        attempts=integer_of(data["attempts"]),
        backoff=Backoff(str(data["backoff"])),
        initial_ms=integer_of(data["initial_ms"]),
        max_ms=None if data["max_ms"] is None else integer_of(data["max_ms"]),
        jitter_percent=integer_of(data["jitter_percent"]),
    )


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in items_of(value))
