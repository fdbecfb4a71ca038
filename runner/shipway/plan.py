"""The plan: what will be done, sealed by `digest` and identified by `effect`. Pure; holds no time, run id or secret."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from shipway import canonical
from shipway.approvals import ApprovalRule, rule_json
from shipway.canonical import Json, object_of
from shipway.declaration import OnCancel, OnFailure, Retry, Rollback, StateRule
from shipway.errors import Position
from shipway.graph import Graph
from shipway.hooks import HookRule, hook_effect, hook_json
from shipway.limits import Limit, limit_json
from shipway.node_json import effect_json, has_odd_value, node_json, retry_json
from shipway.nodes import Change, Node
from shipway.policies import Policy, Verdict, policy_effect, policy_json, verdict_json
from shipway.preflight import Finding, finding_json
from shipway.rollback_preview import RollbackPreview, rollback_preview
from shipway.vertices import build_graph
from shipway.weakenings import Weakening, weakening_json

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
        """Whether no number in the document is odd: all but nodes and findings is searched, and of those what may hold one."""
        rest = replace(self, nodes=(), preflight=())
        if any(finding.size is not None and canonical.has_odd_value(finding.size) for finding in self.preflight):
            return False
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

    @cached_property
    def on_rollback(self) -> RollbackPreview:
        """What would be undone if the last node failed, and where undoing everything stops being possible."""
        if self.rollback is Rollback.NONE:
            return RollbackPreview((), None)
        order = [self.by_id[node] for node in self._graph.topological_order() if node in self.by_id]
        compensated = {
            stage.id: tuple(node.id for node in stage.compensation_order())
            for stage in self.stages
            if stage.compensation
        }
        return rollback_preview(order, compensated)

    def predicted(self, nodes: tuple[Node, ...], rollback: Rollback) -> Plan:
        """The plan with what is foretold of its nodes."""
        return self._on_its_graph(replace(self, nodes=nodes, rollback=rollback))

    def looked_ahead(self, preflight: tuple[Finding, ...]) -> Plan:
        """The plan with what stands where its nodes write."""
        return self._on_its_graph(replace(self, preflight=preflight))

    def _on_its_graph(self, made: Plan) -> Plan:
        """A plan with the same edges: the graph is not built again."""
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
            "on_rollback": self.on_rollback.to_json(),
            "preflight": [finding_json(finding) for finding in self.preflight],
        }


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
