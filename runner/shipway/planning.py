"""Phase plan: stages become nodes, nodes get their predictions, and all of it becomes one plan. Read-only."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shipway import __version__
from shipway.accesses import settled
from shipway.action import Action, ActionFailed, Command, Completed, PlanWork, Prediction
from shipway.builder import BuilderScope, GraphBuilder
from shipway.canonical import Json, bytes_digest
from shipway.compensation import plan_compensation
from shipway.conflicts import Accesses
from shipway.declaration import Declaration, OnFailure, Retry, Rollback, Stage
from shipway.environment import passed_through
from shipway.errors import (
    DeclarationError,
    Problem,
    Reason,
    RunFailed,
    ShipwayError,
    UsageError,
    did_you_mean,
)
from shipway.evaluation import Evaluation, Unresolved, names_secret, references_of
from shipway.expressions import Reference
from shipway.graph import Graph, GraphError
from shipway.nodes import WHOLE_TREE, Computed, Fidelity, Immediate, Need, NeedKind, Node, Outcome, Promise, Reads, Slot
from shipway.plan import Plan, PlannedSource, PlannedStage, build_graph
from shipway.redaction import redacted_value
from shipway.registry import Registry
from shipway.repository import Repository
from shipway.resolution import Resolved, backend_failed


@dataclass(frozen=True, slots=True)
class Selection:
    """What part of a lifecycle to take: `stages` (empty: all) without the stages and `stage/step`s in `skip`."""

    stages: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a plan is made from. `repository_name` is `owner/name` if known; `base` the commit a pull request starts from."""

    declaration: Declaration
    target: str
    inputs: Mapping[str, Json]
    selection: Selection
    repository: Repository
    repository_name: str | None
    base: str | None
    platform: str


@dataclass(frozen=True, slots=True)
class PlanTools:
    """What planning may use: actions and backends, the child environment's base, secrets by name, and a way to run a command.

    `redact` masks secrets in what actions and commands say: a plan leaves the machine.
    """

    registry: Registry
    resolved: Mapping[str, Resolved]
    env: Mapping[str, str]
    base_env: Mapping[str, str]
    secrets: Mapping[str, str]
    execute: Callable[[Node, Command], Completed]
    redact: Callable[[str], str]


def build(request: PlanRequest, tools: PlanTools) -> Plan:
    """The plan without predictions: every node, slot and edge checked. Raises DeclarationError with all problems at once."""
    declaration = request.declaration
    reads = _FileDigests(request.repository, declaration.files)
    known: dict[str, Json] = {"values": declaration.values, "inputs": request.inputs, "target": request.target}
    planned: dict[str, Sequence[Node]] = {}
    stages: dict[str, PlannedStage] = {}
    accesses: dict[str, Accesses] = {}
    problems: list[Problem] = []
    for stage in _in_order(declaration.stages):
        chosen = tools.resolved[stage.id]
        scope = BuilderScope(known, tools.registry.find_action, tools.registry.action_names, planned, reads.of)
        builder = GraphBuilder(stage, scope)
        try:
            context = chosen.backend.plan(stage, declaration, builder)
        except Exception as error:
            raise backend_failed("plan", declaration, stage, chosen.key, error) from error
        condition = builder.fold_condition(stage.condition)
        builder.check_references()
        steps = tools.registry.make_backend("steps", "shell")
        compensation, wrong = plan_compensation(stage, declaration, builder, scope, steps)
        problems += [*builder.problems, *wrong]
        accesses |= builder.accesses
        planned[stage.id] = builder.nodes()
        shown = _planned_stage(stage, declaration, chosen, builder, condition, context)
        stages[stage.id] = replace(shown, compensation=compensation)
    nodes = [node for stage in declaration.stages for node in planned[stage.id]]
    ordered = [stages[stage.id] for stage in declaration.stages]
    if problems:
        raise _refused(problems, declaration)
    settled_nodes, problems = settled(ordered, nodes, accesses, request.repository.root)
    if problems:
        raise _refused(problems, declaration)
    ordered, nodes = select(ordered, settled_nodes, request.selection)
    _check_order(ordered, nodes)
    return Plan(
        lifecycle=declaration.name,
        target=request.target,
        platform=request.platform,
        source=_source(request),
        shipway=__version__,
        stages=tuple(ordered),
        nodes=tuple(nodes),
        secrets=declaration.secrets,
        limits=declaration.limits,
        locks=declaration.locks,
        is_locked=declaration.is_locked,
        parallel=declaration.defaults.parallel or 0,
        on_failure=declaration.defaults.on_failure or OnFailure.DRAIN,
        rollback=declaration.defaults.rollback or Rollback.NONE,
        on_cancel=declaration.defaults.on_cancel,
    )


def predict(plan: Plan, tools: PlanTools, declaration: Declaration, root: Path) -> Plan:
    """The plan with what each action says of its nodes, dependencies first, so that what one foretells the next may use.

    Raises RunFailed naming the node whose `plan` failed.
    """
    predictor = _Predictor(plan, tools, declaration, root)
    predicted = {node.id: node for node in plan.nodes}
    for node_id in plan.graph().topological_order():
        if node_id in predicted:
            predicted[node_id] = predictor.predict(predicted[node_id])
    for node in plan.compensations:
        predictor.check(node)
    nodes = tuple(predicted[node.id] for node in plan.nodes)
    return replace(plan, nodes=nodes, rollback=_rollback(declaration, nodes))


def select(
    stages: Sequence[PlannedStage], nodes: Sequence[Node], selection: Selection
) -> tuple[list[PlannedStage], list[Node]]:
    """The chosen part of a lifecycle. Edges to what is left out go with it; an output taken from it is an error.

    Raises UsageError for an unknown stage or step, with the nearest name.
    """
    if not selection.stages and not selection.skip:
        return list(stages), list(nodes)
    _check_names(stages, nodes, selection)
    skipped = set(selection.skip)
    kept_stages = [
        stage for stage in stages if (not selection.stages or stage.id in selection.stages) and stage.id not in skipped
    ]
    names = {stage.id for stage in kept_stages}
    kept = [node for node in nodes if node.stage in names and node.id not in skipped]
    ids = {node.id for node in kept}
    for node in kept:
        for need in node.needs:
            if need.kind is NeedKind.PROMISE and need.node not in ids:
                raise UsageError(
                    f"`{node.id}` takes an output of `{need.node}`, which is left out",
                    where=node.position,
                    next=f"leave out `{node.id}` as well, or keep `{need.node}`",
                )
    return (
        [_selected(stage, names, ids) for stage in kept_stages],
        [replace(node, needs=_bridged(node, nodes, ids)) for node in kept],
    )


def _selected(stage: PlannedStage, stages: Collection[str], nodes: Collection[str]) -> PlannedStage:
    """The stage without what is left out; to its compensation that is like a step that never ran."""
    kept = {*nodes, *(node.id for node in stage.compensation)}
    compensation = tuple(
        replace(
            node,
            needs=tuple(need for need in node.needs if need.node in kept),
            slots={name: _if_kept(slot, kept) for name, slot in node.slots.items()},
            env={name: _if_kept(slot, kept) for name, slot in node.env.items()},
        )
        for node in stage.compensation
    )
    return replace(stage, needs=tuple(need for need in stage.needs if need in stages), compensation=compensation)


def _if_kept(slot: Slot, kept: Collection[str]) -> Slot:
    return Immediate(None) if isinstance(slot, Promise) and slot.node not in kept else slot


def _bridged(node: Node, nodes: Sequence[Node], kept: Collection[str]) -> tuple[Need, ...]:
    """The node's needs; a place in a list whose predecessor was left out moves up to the one before that."""
    if all(need.node in kept for need in node.needs):
        return node.needs
    by_id = {other.id: other for other in nodes}
    found: list[Need] = []
    for need in node.needs:
        while need.node not in kept and need.kind is NeedKind.ORDER:
            before = next((n for n in by_id[need.node].needs if n.kind is NeedKind.ORDER), None)
            if before is None:
                break
            need = before
        if need.node in kept:
            found.append(need)
    return tuple(found)


def _check_names(stages: Sequence[PlannedStage], nodes: Sequence[Node], selection: Selection) -> None:
    known = [*(stage.id for stage in stages), *(node.id for node in nodes)]
    for name in selection.stages:
        if name not in {stage.id for stage in stages}:
            raise UsageError(f"there is no stage `{name}`", next=did_you_mean(name, [stage.id for stage in stages]))
    for name in selection.skip:
        if name not in known:
            raise UsageError(f"there is no stage or step `{name}`", next=did_you_mean(name, known))


class _FileDigests:
    """Digests of what nodes read, each pattern list once; the whole tree leaves out the declaration's own files."""

    def __init__(self, repository: Repository, declaration_files: tuple[str, ...]) -> None:
        self._repository = repository
        self._without = declaration_files
        self._known: dict[tuple[str, ...], Reads] = {}

    def of(self, patterns: tuple[str, ...] | None) -> Reads:
        wanted = WHOLE_TREE if patterns is None else patterns
        found = self._known.get(wanted)
        if found is None:
            digest = self._repository.digest_of(wanted, self._without if patterns is None else ())
            found = self._known[wanted] = Reads(wanted, digest)
        return found


class _Predictor:
    """Asks each action what it would do, given what is known of its slots by then."""

    def __init__(self, plan: Plan, tools: PlanTools, declaration: Declaration, root: Path) -> None:
        self._tools = tools
        self._declaration = declaration
        self._root = root
        self._evaluation = Evaluation(github={}, runner={}, secrets=tools.secrets, known={}, root=root)
        self._foretold: dict[str, Mapping[str, Json]] = {}
        self._fidelity: dict[str, Fidelity] = {}

    def predict(self, node: Node) -> Node:
        action = self._tools.registry.require_action(node.action)
        inputs, unknown = self._resolve(node, node.slots)
        env, unknown_env = self._resolve(node, node.env)
        base = {**self._tools.base_env, **passed_through(node.env_from, self._tools.env, self._tools.secrets)}
        work = PlanWork(
            node=node,
            inputs=inputs,
            unknown=unknown,
            env={**base, **{name: str(value) for name, value in env.items()}},
            unknown_env=unknown_env,
            root=self._root,
            execute=lambda command: self._tools.execute(node, command),
            secret=frozenset(name for name, slot in node.slots.items() if names_secret(slot)),
        )
        said = self._ask(action, work)
        fidelity, why = self._honest(node, said, unknown)
        outputs = self._tellable(said.outputs)
        self._foretold[node.id] = outputs
        self._evaluation.record(node, Outcome.SUCCEEDED, outputs)
        self._fidelity[node.id] = fidelity
        return replace(
            node,
            change=said.change,
            fidelity=fidelity,
            why=self._tools.redact(why),
            before=redacted_value(said.before, self._tools.redact),
            after=redacted_value(said.after, self._tools.redact),
            predicted=outputs,
            reversible=said.reversible,
        )

    def check(self, node: Node) -> None:
        """Refuse a node of a compensation that could never run. What it will do, the world of a failed run decides."""
        if self._tools.registry.require_action(node.action).runs_in == "process":
            self.predict(node)

    def _tellable(self, outputs: Mapping[str, Json]) -> dict[str, Json]:
        """Outputs without those that hold a secret: masked they would foretell what will not be."""
        return {name: value for name, value in outputs.items() if redacted_value(value, self._tools.redact) == value}

    def _ask(self, action: Action, work: PlanWork) -> Prediction:
        try:
            return action.plan(work)
        except ActionFailed as error:
            raise self._failed(work.node, str(error), error) from error

    def _failed(self, node: Node, text: str, error: Exception) -> ShipwayError:
        return RunFailed(
            f"`{node.id}`: {text}",
            phase="plan",
            stage=node.stage,
            where=node.position,
            line=self._declaration.source.line(node.position),
            next="a plan must be able to look without changing anything: correct the step, then plan again",
        )

    def _honest(self, node: Node, said: Prediction, unknown: Mapping[str, str]) -> tuple[Fidelity, str]:
        """No node is surer than what it builds on: opaque behind something unknown, predicted behind a prediction."""
        if unknown and said.fidelity is not Fidelity.OPAQUE:
            return Fidelity.OPAQUE, "waits for " + ", ".join(dict.fromkeys(unknown.values()))
        promised = [need.node for need in node.needs if need.kind is NeedKind.PROMISE]
        if said.fidelity is Fidelity.EXACT and any(self._fidelity.get(node) is not Fidelity.EXACT for node in promised):
            return Fidelity.PREDICTED, said.why or "built on a prediction"
        return said.fidelity, said.why

    def _resolve(self, node: Node, slots: Mapping[str, Slot]) -> tuple[dict[str, Json], dict[str, str]]:
        known: dict[str, Json] = {}
        unknown: dict[str, str] = {}
        for name, slot in slots.items():
            match slot:
                case Immediate(value):
                    known[name] = value
                case Promise(producer, output):
                    foretold = self._foretold.get(producer, {})
                    if output is not None and output in foretold:
                        known[name] = foretold[output]
                    else:
                        unknown[name] = f"`{producer}`"
                case Computed():
                    self._resolve_text(node, name, slot, known, unknown)
        return known, unknown

    def _resolve_text(
        self, node: Node, name: str, slot: Computed, known: dict[str, Json], unknown: dict[str, str]
    ) -> None:
        """A text made of secrets and foretold outputs is known; anything else waits for a node or for the run."""
        for reference in references_of(slot.expression):
            if reference.path[0] != "secrets" and not self._is_foretold(node, reference):
                unknown[name] = _awaited(node, reference)
                return
        probe = replace(node, slots={name: slot})
        try:
            known.update(self._evaluation.inputs(probe, {}))
        except Unresolved:
            unknown[name] = "a secret that is not set"

    def _is_foretold(self, node: Node, reference: Reference) -> bool:
        match reference.path:
            case ("steps", str(step), "outputs", str(output), *_):
                return output in self._foretold.get(f"{node.stage}/{step}", {})
            case ("stages", str(stage), "steps", str(step), "outputs", str(output), *_):
                return output in self._foretold.get(f"{stage}/{step}", {})
            case ("stages", str(stage), "outputs", str(output), *_):
                return any(output in said for other, said in self._foretold.items() if other.startswith(f"{stage}/"))
        return False


def _awaited(node: Node, reference: Reference) -> str:
    """What has to happen before a reference has a value, in words."""
    match reference.path:
        case ("steps", str(step), *_):
            return f"`{node.stage}/{step}`"
        case ("stages", str(stage), "steps", str(step), *_):
            return f"`{stage}/{step}`"
        case ("stages", str(stage), *_):
            return f"stage `{stage}`"
    return "the run"


def _in_order(stages: Sequence[Stage]) -> list[Stage]:
    """Stages with what they refer to planned before them. References count as needs; the declaration has no cycle."""
    by_id = {stage.id: stage for stage in stages}
    edges = {
        (need, stage.id): None for stage in stages for need in (*stage.needs, *_referred(stage)) if need != stage.id
    }
    graph = Graph(by_id, [(before, after) for before, after in edges if before in by_id])
    return [by_id[name] for name in graph.topological_order()]


_STAGE_REFERENCE = re.compile(r"\bstages(?:\.([A-Za-z0-9_-]+)|\[\s*'([^']+)'\s*\])", re.IGNORECASE)


def _referred(stage: Stage) -> list[str]:
    """Stages named in the texts of a stage. Finding one too many only affects the order in which stages are planned."""
    texts = [str(stage.env), str(stage.with_), stage.condition or ""]
    for step in (*stage.steps, *(stage.compensation.steps if stage.compensation else ())):
        texts += [str(step.env), str(step.with_), step.condition or ""]
    return [first or second for text in texts if "stages" in text for first, second in _STAGE_REFERENCE.findall(text)]


def _planned_stage(
    stage: Stage,
    declaration: Declaration,
    chosen: Resolved,
    builder: GraphBuilder,
    condition: str | None,
    context: Mapping[str, Json],
) -> PlannedStage:
    return PlannedStage(
        id=stage.id,
        mode=stage.mode,
        backend=chosen.key[1],
        contract=chosen.backend.contract,
        position=stage.where,
        needs=tuple(need for need in builder.stage_needs if need != stage.id),
        condition=condition,
        context=context,
        on_failure=stage.on_failure or declaration.defaults.on_failure or OnFailure.DRAIN,
        rollback=stage.rollback,
        parallel=stage.parallel or 0,
        retry=stage.retry or Retry(),
    )


def _check_order(stages: Sequence[PlannedStage], nodes: Sequence[Node]) -> None:
    try:
        build_graph(nodes, {stage.id: stage.needs for stage in stages}).topological_order()
    except GraphError as error:
        raise DeclarationError(error.message, phase="plan") from error


def _rollback(declaration: Declaration, nodes: Sequence[Node]) -> Rollback:
    """The declared policy; else nothing where nothing can be undone, the failed stage under `continue`, else the run."""
    if declaration.defaults.rollback is not None:
        return declaration.defaults.rollback
    if not any(node.reversible for node in nodes) and not any(stage.compensation for stage in declaration.stages):
        return Rollback.NONE
    return Rollback.STAGE if declaration.defaults.on_failure is OnFailure.CONTINUE else Rollback.RUN


def _source(request: PlanRequest) -> PlannedSource:
    repository, declaration = request.repository, request.declaration
    return PlannedSource(
        file=declaration.file,
        files=declaration.files,
        declaration=bytes_digest(b"".join((repository.root / name).read_bytes() for name in declaration.files)),
        repository=request.repository_name,
        commit=repository.commit,
        tree=repository.tree,
        merge_base=repository.merge_base(request.base),
        dirty=bool(repository.changed),
    )


def _refused(problems: Sequence[Problem], declaration: Declaration) -> DeclarationError:
    shown = [replace(p, line=declaration.source.line(p.where)) if p.where and not p.line else p for p in problems]
    shown.sort(
        key=lambda problem: (
            (problem.where.file, problem.where.line, problem.where.column) if problem.where else ("", 0, 0)
        )
    )
    return DeclarationError(
        "the lifecycle cannot be planned", phase="plan", problems=shown, reason=Reason.DECLARATION_INVALID
    )
