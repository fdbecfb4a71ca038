"""The plan: what will be done, sealed by `digest` and identified by `effect`. Pure; holds no time, run id or secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from shipway import canonical
from shipway.approvals import ApprovalRule, rule_from_json, rule_json
from shipway.canonical import Json, integer_of, items_of, object_of, text_or_none
from shipway.declaration import OnCancel, OnFailure, Retry, Rollback, StateRule, StateStore
from shipway.errors import Position, Reason, UsageError, VerificationError
from shipway.graph import Graph, GraphError
from shipway.hooks import HookRule, hook_effect, hook_from_json, hook_json
from shipway.limits import Limit, limit_from_json, limit_json
from shipway.node_json import effect_json, has_odd_value, node_from_json, node_json, retry_from_json, retry_json
from shipway.nodes import Change, Fidelity, NeedKind, Node, Promise
from shipway.policies import (
    Policy,
    Verdict,
    policy_effect,
    policy_from_json,
    policy_json,
    verdict_from_json,
    verdict_json,
)
from shipway.preflight import Finding, finding_from_json, finding_json
from shipway.vertices import build_graph
from shipway.weakenings import Weakening, weakening_from_json, weakening_json

PLAN_SCHEMA = 1

COMPENSATION_PART = "compensate"
"""The part of a stage that its compensation is: the ids of its nodes are `stage.compensate/step`."""


class Durability(StrEnum):
    """What a run survives, so that it can be gone on with: its killed process, its CI job, or the loss of its machine.

    `attempt`: the journal is uploaded with the job's artifact, if the job comes so far.
    """

    PROCESS = "process"
    ATTEMPT = "attempt"
    MACHINE = "machine"


class PlannedSource(Struct, frozen=True):
    """What was planned: `file` is the declaration, `files` it and its overlay with `declaration` their digest.

    Outside git `commit`, `tree` and `merge_base` are None. `dirty`: a tracked file differs from the commit.
    """

    file: str
    files: tuple[str, ...]
    declaration: str
    repository: str | None = None
    commit: str | None = None
    tree: str | None = None
    merge_base: str | None = None
    dirty: bool = False


class PlannedStage(Struct, frozen=True):
    """A stage in the plan: who carries it out, under which `contract` number, and its policies.

    `context` is what the backend needs to be re-created from the plan alone. `parallel` 0 means no bound of its own.
    `compensation` holds the nodes that run only on its rollback, in declared order.
    """

    id: str
    mode: str
    backend: str
    contract: int
    position: Position
    needs: tuple[str, ...] = ()
    condition: str | None = None
    context: Mapping[str, Json] = field(default_factory=dict)
    on_failure: OnFailure = OnFailure.DRAIN
    rollback: Rollback | None = None
    parallel: int = 0
    compensation: tuple[Node, ...] = ()
    retry: Retry = field(default_factory=Retry)
    approval: ApprovalRule | None = None
    policies: tuple[Policy, ...] = ()

    def compensation_order(self) -> list[Node]:
        """The nodes of its compensation in the order they run: what one needs before it, else as declared."""
        by_id = {node.id: node for node in self.compensation}
        edges = [(need.node, node.id) for node in self.compensation for need in node.needs if need.node in by_id]
        return [by_id[name] for name in Graph([node.id for node in self.compensation], edges).topological_order()]


class Plan(Struct, frozen=True, dict=True):
    """A whole plan for one lifecycle and target; `nodes` and `stages` in declared order.

    `secrets` are names. `parallel` 0 lets the machine decide. `on_cancel` None: leave in CI, undo on a terminal. `locks` are
    held for the whole run, as is that of lifecycle and target where `is_locked`. `durability` is what the run will survive.
    `weakens` are rules of the commit before that it would loosen: they hold all the same.
    `preflight` is what stands where nodes of `files` stages write, in the order of the nodes; no part of its effect either.
    `verdicts` are what its policies said when it was planned; they decide nothing later, and are no part of its effect.
    `hooks` are told what happens, in this order. `state` is where locks and records are kept, by the declaration.
    """

    lifecycle: str
    target: str
    platform: str
    source: PlannedSource
    shipway: str
    stages: tuple[PlannedStage, ...]
    nodes: tuple[Node, ...]
    secrets: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    parallel: int = 0
    on_failure: OnFailure = OnFailure.DRAIN
    rollback: Rollback = Rollback.RUN
    on_cancel: OnCancel | None = None
    locks: tuple[str, ...] = ()
    is_locked: bool = True
    durability: Durability = Durability.PROCESS
    weakens: tuple[Weakening, ...] = ()
    policies: tuple[Policy, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    preflight: tuple[Finding, ...] = ()
    hooks: tuple[HookRule, ...] = ()
    state: StateRule = field(default_factory=StateRule)

    @cached_property
    def by_id(self) -> dict[str, Node]:
        """Nodes by id."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def stages_by_id(self) -> dict[str, PlannedStage]:
        """Stages by id."""
        return {stage.id: stage for stage in self.stages}

    @property
    def compensations(self) -> tuple[Node, ...]:
        """The nodes of all compensations: they run on a rollback only, and are none of `nodes`."""
        return tuple(node for stage in self.stages for node in stage.compensation)

    @cached_property
    def effect(self) -> str:
        """`sha256:…` of all that decides what will be done; what an approval is bound to."""
        return canonical.digest(self.effect_json(), is_plain=self._is_plain)

    @cached_property
    def document(self) -> dict[str, Json]:
        """The plan as JSON, digest included; `canonical.canonical_bytes` of it are the file."""
        return {**self._whole, "digest": self.digest}

    @property
    def content(self) -> bytes:
        """The canonical bytes of the document, which are the file: of its members `digest` comes first."""
        return b'{"digest":"' + self.digest.encode() + b'",' + self.canonical_body[1:]

    @cached_property
    def canonical_body(self) -> bytes:
        """The canonical bytes of the document without its digest: what that is the digest of."""
        return canonical.canonical_bytes(self._whole, is_plain=self._is_plain)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether no number in the document is odd: all but the nodes is searched, and of those what may hold one."""
        rest = replace(self, nodes=())
        return not canonical.has_odd_value(rest._body()) and not any(map(has_odd_value, self.nodes))

    @cached_property
    def _whole(self) -> dict[str, Json]:
        return {**self._body(), "effect": self.effect}

    @cached_property
    def digest(self) -> str:
        """`sha256:…` over the whole document; what seals the file."""
        return canonical.bytes_digest(self.canonical_body)

    @property
    def lock_word(self) -> str:
        """What guards the target: `store`, or `none` where only the forge's concurrency does."""
        return "store" if self.is_locked else "none"

    @property
    def approval_rules(self) -> Mapping[str, ApprovalRule]:
        """What approval each stage needs, by stage, in declared order; stages that need none are left out."""
        return {stage.id: stage.approval for stage in self.stages if stage.approval is not None}

    @property
    def all_policies(self) -> tuple[Policy, ...]:
        """The policies of the whole plan, then those of its stages."""
        return (*self.policies, *(policy for stage in self.stages for policy in stage.policies))

    @property
    def has_changes(self) -> bool:
        """Whether executing it would do anything but read."""
        return any(node.change not in (Change.NOOP, Change.READ) for node in self.nodes)

    def effect_json(self) -> dict[str, Json]:
        """What `effect` digests: per node what decides its work, per stage its policies and its backend's contract."""
        return {
            "lifecycle": self.lifecycle,
            "target": self.target,
            "on_failure": self.on_failure.value,
            "rollback": self.rollback.value,
            "limits": {name: limit_json(limit) for name, limit in self.limits.items()},
            "locks": sorted(self.locks),
            "lock": self.lock_word,
            "state": _state_json(self.state),
            "policies": [policy_effect(policy) for policy in self.policies],
            "hooks": [hook_effect(hook) for hook in self.hooks],
            "stages": {stage.id: _stage_effect(stage) for stage in self.stages},
            "nodes": {node.id: effect_json(node) for node in self.nodes},
        }

    def graph(self) -> Graph:
        """Dependency view over the nodes; a needed stage stands in it as a vertex between its leaves and its followers."""
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        return build_graph(self.nodes, {stage.id: stage.needs for stage in self.stages})

    def predicted(self, nodes: tuple[Node, ...], rollback: Rollback) -> Plan:
        """The plan with what is foretold of its nodes, which changes no edge: the graph is not built again."""
        made = replace(self, nodes=nodes, rollback=rollback)
        made.__dict__["_graph"] = self._graph
        return made

    def _body(self) -> dict[str, Json]:
        return {
            "kind": "plan",
            "schema": PLAN_SCHEMA,
            "lifecycle": self.lifecycle,
            "target": self.target,
            "platform": self.platform,
            "source": _source_json(self.source),
            "versions": {"shipway": self.shipway},
            "secrets": list(self.secrets),
            "limits": {name: limit_json(limit) for name, limit in self.limits.items()},
            "locks": list(self.locks),
            "lock": self.lock_word,
            "state": _state_json(self.state),
            "policies": [policy_json(policy) for policy in self.policies],
            "hooks": [hook_json(hook) for hook in self.hooks],
            "verdicts": [verdict_json(verdict) for verdict in self.verdicts],
            "durability": self.durability.value,
            "weakens": [weakening_json(weakening) for weakening in self.weakens],
            "parallel": self.parallel,
            "on_failure": self.on_failure.value,
            "rollback": self.rollback.value,
            "on_cancel": None if self.on_cancel is None else self.on_cancel.value,
            "stages": [_stage_json(stage) for stage in self.stages],
            "nodes": [node_json(node) for node in self.nodes],
            "on_rollback": rollback_preview(self).to_json(),
            "preflight": [finding_json(finding) for finding in self.preflight],
        }


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


def rollback_preview(plan: Plan) -> RollbackPreview:
    """What would be undone if the last node failed, and where undoing everything stops being possible."""
    if plan.rollback is Rollback.NONE:
        return RollbackPreview((), None)
    never = _never_run(plan)
    ran = [plan.by_id[node] for node in plan.graph().topological_order() if node in plan.by_id and node not in never]
    order = [each for node in ran for each in (node, *node.all_templates())]
    point = next((node.id for node in order if node.must_be_undone and not node.reversible), None)
    compensated = {
        stage.id: tuple(node.id for node in stage.compensation_order()) for stage in plan.stages if stage.compensation
    }
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


def _never_run(plan: Plan) -> set[str]:
    """The nodes whose `if` was found false when planned, and what is in the body of one."""
    found = {node.id for node in plan.nodes if node.condition == "false"}
    for node in plan.nodes:  # a body stands behind whose it is
        if any(need.kind is NeedKind.WITHIN and need.node in found for need in node.needs):
            found.add(node.id)
    return found


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


class Difference(Struct, frozen=True):
    """One node (or stage, or `plan` itself) in which two plans differ; `fields` are the names of what differs in it.

    `fields` is `("added",)` or `("removed",)` where only one of the plans has it.
    """

    subject: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.subject}: {', '.join(self.fields)}"


def differences(old: Plan, new: Plan) -> tuple[Difference, ...]:
    """Where the effects of two plans differ, node by node, in declared order of `new`, then what only `old` has."""
    before, after = old.effect_json(), new.effect_json()
    found: list[Difference] = []
    own = tuple(key for key in after if key not in ("nodes", "stages") and before[key] != after[key])
    if own:
        found.append(Difference("plan", own))
    for part in ("stages", "nodes"):
        found += _part_differences(object_of(before[part]), object_of(after[part]))
    return tuple(found)


def _part_differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Difference]:
    found = []
    for subject, value in new.items():
        if subject not in old:
            found.append(Difference(subject, ("added",)))
        elif value != old[subject]:
            had, has = object_of(old[subject]), object_of(value)
            found.append(Difference(subject, tuple(key for key in has if has[key] != had.get(key))))
    return found + [Difference(subject, ("removed",)) for subject in old if subject not in new]


def fidelity_counts(nodes: Sequence[Node]) -> dict[Fidelity, int]:
    """How many nodes of each fidelity, zero included."""
    return {kind: sum(node.fidelity is kind for node in nodes) for kind in Fidelity}


def change_counts(nodes: Sequence[Node]) -> dict[Change, int]:
    """How many nodes of each change, zero included."""
    return {kind: sum(node.change is kind for node in nodes) for kind in Change}


def _stage_effect(stage: PlannedStage) -> Json:
    return {
        "mode": stage.mode,
        "backend": stage.backend,
        "contract": stage.contract,
        "needs": sorted(stage.needs),
        "condition": stage.condition,
        "context": dict(stage.context),
        "on_failure": stage.on_failure.value,
        "rollback": None if stage.rollback is None else stage.rollback.value,
        "approval": rule_json(stage.approval),
        "policies": [policy_effect(policy) for policy in stage.policies],
        "compensation": [effect_json(node) for node in stage.compensation],
        "retry": retry_json(stage.retry),
    }


def _stage_json(stage: PlannedStage) -> Json:
    return {
        **object_of(_stage_effect(stage)),
        "id": stage.id,
        "needs": list(stage.needs),
        "parallel": stage.parallel,
        "policies": [policy_json(policy) for policy in stage.policies],
        "compensation": [node_json(node) for node in stage.compensation],
        "position": [stage.position.file, stage.position.line, stage.position.column],
    }


def _state_json(state: StateRule) -> Json:
    return {"store": state.store.value, "remote": state.remote, "url": state.url, "key": state.key}


def _state_from_json(data: Mapping[str, Json]) -> StateRule:
    texts = {key: str(data[key]) for key in ("remote", "url", "key")}
    return StateRule(StateStore(str(data["store"])), **texts)


def _source_json(source: PlannedSource) -> Json:
    return {
        "file": source.file,
        "files": list(source.files),
        "declaration": source.declaration,
        "repository": source.repository,
        "commit": source.commit,
        "tree": source.tree,
        "merge_base": source.merge_base,
        "dirty": source.dirty,
    }


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
