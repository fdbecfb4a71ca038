"""Phase plan: stages become nodes, nodes get their predictions, and all of it becomes one plan. Read-only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shipway import __version__
from shipway.accesses import settled
from shipway.approval import unbounded
from shipway.builder import GraphBuilder
from shipway.builder_options import BuilderScope
from shipway.canonical import Json, bytes_digest
from shipway.compensation import plan_compensation
from shipway.conflicts import Accesses
from shipway.declaration import Declaration, OnFailure, Retry, Rollback, Stage, Step
from shipway.dedup import deduplicated
from shipway.errors import DeclarationError, Problem, Reason, UsageError, did_you_mean
from shipway.graph import Graph, GraphError
from shipway.limits import Limit
from shipway.node_ids import gate_of, owner_of
from shipway.nodes import WHOLE_TREE, Immediate, Need, NeedKind, Node, Promise, Reads, Slot
from shipway.plan import Durability, Plan, PlannedSource, PlannedStage
from shipway.policy_plans import planned_policies
from shipway.prediction import PlanTools, Predictor
from shipway.repository import Repository
from shipway.resolution import Resolved, backend_failed
from shipway.site import Site


class Selection(Struct, frozen=True):
    """What part of a lifecycle to take: `stages` (empty: all) without the stages and `stage/step`s in `skip`."""

    stages: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


class PlanRequest(Struct, frozen=True):
    """What a plan is made from. `repository_name` is `owner/name` if known; `base` the commit a pull request starts from.

    Without a `site` nothing is known of the machine but where the workspace is. `derived_from` are files of the declaration that
    this one was made of.
    """

    declaration: Declaration
    target: str
    inputs: Mapping[str, Json]
    selection: Selection
    repository: Repository
    repository_name: str | None
    base: str | None
    platform: str
    durability: Durability = Durability.PROCESS
    site: Site | None = None
    derived_from: tuple[str, ...] = ()


def build(request: PlanRequest, tools: PlanTools) -> Plan:
    """The plan without predictions: every node, slot and edge checked. Raises DeclarationError with all problems at once."""
    declaration = request.declaration
    reads = _FileDigests(request.repository, (*declaration.files, *request.derived_from))
    site = request.site or Site(request.repository.root)
    known: dict[str, Json] = {"values": declaration.values, "inputs": request.inputs, "target": request.target}
    planned: dict[str, Sequence[Node]] = {}
    stages: dict[str, PlannedStage] = {}
    parts: dict[str, list[str]] = {}
    accesses: dict[str, Accesses] = {}
    problems: list[Problem] = []
    for stage in _in_order(declaration.stages):
        chosen = tools.resolved[stage.id]
        scope = BuilderScope(
            known, tools.registry.find_action, tools.registry.action_names, planned, reads.of, site, reads.of_commit
        )
        builder = GraphBuilder(stage, scope)
        try:
            context = chosen.backend.plan(stage, declaration, builder, tools.prior)
        except Exception as error:
            raise backend_failed("plan", declaration, stage, chosen.key, error) from error
        steps = tools.registry.make_backend("steps", "shell")
        compensation, wrong = plan_compensation(stage, declaration, builder, scope, steps)
        problems += wrong
        for each in (*builder.parts, builder):
            condition = each.fold_condition(each.stage.condition)
            each.check_references()
            problems += each.problems
            accesses |= each.accesses
            planned[each.stage.id] = [node for node in each.nodes() if node.stage == each.stage.id]
            if stage.approval is not None:
                problems += [_without_bound(node) for node in unbounded(planned[each.stage.id])]
            shown = _planned_stage(each.stage, declaration, chosen, each, condition, context)
            compensated = compensation if each is builder else ()
            about = [replace(policy, stage=each.stage.id) for policy in stage.policies]
            policies = planned_policies(about, request.target, known)
            stages[each.stage.id] = replace(shown, compensation=compensated, policies=policies)
        made = [each.stage.id for each in builder.parts]
        if planned[stage.id] and made:
            stages[stage.id] = replace(stages[stage.id], needs=(made[-1],))
        parts[stage.id] = [*made, *([stage.id] if planned[stage.id] or not made else [])]
    names = [name for stage in declaration.stages for name in parts[stage.id]]
    nodes = [node for name in names for node in planned[name]]
    ordered = [_behind_parts(stages[name], parts) for name in names]
    if problems:
        raise _refused(problems, declaration)
    settled_nodes, problems = settled(ordered, nodes, accesses, request.repository.root)
    if problems:
        raise _refused(problems, declaration)
    ordered, nodes = select(ordered, settled_nodes, request.selection)
    plan = Plan(
        lifecycle=declaration.name,
        target=request.target,
        platform=request.platform,
        source=_source(request),
        shipway=__version__,
        stages=tuple(ordered),
        nodes=tuple(nodes),
        secrets=declaration.secrets,
        limits={
            **declaration.limits,
            **_turns([*nodes, *(node for stage in ordered for node in stage.compensation)], declaration.limits),
        },
        locks=declaration.locks,
        is_locked=declaration.is_locked,
        durability=request.durability,
        policies=planned_policies(declaration.policies, request.target, known),
        parallel=declaration.defaults.parallel or 0,
        on_failure=declaration.defaults.on_failure or OnFailure.DRAIN,
        rollback=declaration.defaults.rollback or Rollback.NONE,
        on_cancel=declaration.defaults.on_cancel,
        hooks=declaration.hooks,
        state=declaration.state,
    )
    order = _checked_order(plan)
    if not any(node.dedup is not None for node in nodes):
        return plan
    nodes, problems = deduplicated(nodes, order)
    if problems:
        raise _refused(problems, declaration)
    return replace(plan, nodes=tuple(nodes))


def predict(plan: Plan, tools: PlanTools, declaration: Declaration, root: Path) -> Plan:
    """The plan with what each action says of its nodes, dependencies first, so that what one foretells the next may use.

    Raises RunFailed naming the node whose `plan` failed.
    """
    predictor = Predictor(plan, tools, declaration, root)
    predicted = {node.id: node for node in plan.nodes}
    for node_id in plan.graph().topological_order():
        if node_id in predicted:
            predicted[node_id] = predictor.predict(predicted[node_id])
        elif owner_of(node_id) in predicted:
            predicted[owner_of(node_id)] = predictor.close(predicted[owner_of(node_id)])
    for node in plan.compensations:
        predictor.check(node)
    nodes = tuple(predicted[node.id] for node in plan.nodes)
    return plan.predicted(nodes, _rollback(declaration, nodes))


def select(
    stages: Sequence[PlannedStage], nodes: Sequence[Node], selection: Selection
) -> tuple[list[PlannedStage], list[Node]]:
    """The chosen part of a lifecycle. Edges to what is left out go with it; an output taken from it is an error.

    Raises UsageError for an unknown stage or step, with the nearest name.
    """
    if not selection.stages and not selection.skip:
        return list(stages), list(nodes)
    _check_names(stages, nodes, selection)
    skipped = _with_parts(selection.skip, stages)
    chosen = _with_parts(selection.stages, stages)
    kept_stages = [stage for stage in stages if (not chosen or stage.id in chosen) and stage.id not in skipped]
    names = {stage.id for stage in kept_stages}
    kept = [node for node in nodes if node.stage in names and not _is_in(node.id, skipped)]
    ids = {node.id for node in kept} | {gate_of(node.id) for node in kept if node.has_gate}
    for node in kept:
        for need in node.needs:
            if need.kind is NeedKind.PROMISE and need.node not in ids:
                raise UsageError(
                    f"`{node.id}` takes an output of `{owner_of(need.node)}`, which is left out",
                    where=node.position,
                    next=f"leave out `{node.id}` as well, or keep `{owner_of(need.node)}`",
                )
    return (
        [_selected(stage, names, ids) for stage in kept_stages],
        [replace(node, needs=_bridged(node, nodes, ids)) for node in kept],
    )


def _turns(nodes: Sequence[Node], declared: Mapping[str, Limit]) -> dict[str, Limit]:
    """The limits that actions bring along: nodes under one of them run one after the other."""
    every = (each for node in nodes for each in (node, *node.all_templates()))
    return dict.fromkeys(sorted({limit for each in every for limit in each.limits if limit not in declared}), Limit())


def _behind_parts(stage: PlannedStage, parts: Mapping[str, Sequence[str]]) -> PlannedStage:
    """The stage behind the last part of each stage that it needs: a stage with parts is those and nothing besides."""
    needs = tuple(parts[name][-1] if name in parts else name for name in stage.needs)
    return stage if needs == stage.needs else replace(stage, needs=needs)


def _with_parts(names: Sequence[str], stages: Sequence[PlannedStage]) -> set[str]:
    """The names, and the parts of those that are stages with parts."""
    return {*names, *(stage.id for stage in stages if stage.id.partition(".")[0] in names)}


def _is_in(node: str, skipped: Collection[str]) -> bool:
    """Whether a node is left out, or what it is inside of."""
    return any(node == name or node.startswith((f"{name}[", f"{name}/")) for name in skipped)


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
            before = next((n for n in by_id[owner_of(need.node)].needs if n.kind is NeedKind.ORDER), None)
            if before is None:
                break
            need = before
        if need.node in kept:
            found.append(need)
    return tuple(found)


def _check_names(stages: Sequence[PlannedStage], nodes: Sequence[Node], selection: Selection) -> None:
    ids = list(dict.fromkeys(name for stage in stages for name in (stage.id.partition(".")[0], stage.id)))
    known = [*ids, *(node.id for node in nodes)]
    for name in selection.stages:
        if name not in ids:
            raise UsageError(f"there is no stage `{name}`", next=did_you_mean(name, ids) or _LIST_THEM)
    for name in selection.skip:
        if name not in known and not any(_is_in(node.id, (name,)) for node in nodes):
            raise UsageError(f"there is no stage or step `{name}`", next=did_you_mean(name, known) or _LIST_THEM)


_LIST_THEM = "`shipway graph` shows what there is"


class _FileDigests:
    """Digests of what nodes read, each pattern list once; the whole tree leaves out the declaration's own files."""

    def __init__(self, repository: Repository, declaration_files: tuple[str, ...]) -> None:
        self._repository = repository
        self._without = declaration_files
        self._known: dict[tuple[tuple[str, ...], bool], Reads] = {}

    def of(self, patterns: tuple[str, ...] | None) -> Reads:
        return self._read(patterns, is_committed=False)

    def of_commit(self, patterns: tuple[str, ...] | None) -> Reads:
        return self._read(patterns, is_committed=True)

    def _read(self, patterns: tuple[str, ...] | None, *, is_committed: bool) -> Reads:
        wanted = WHOLE_TREE if patterns is None else patterns
        found = self._known.get((wanted, is_committed))
        if found is None:
            without = self._without if patterns is None else ()
            digest = self._repository.digest_of(wanted, without, is_committed=is_committed)
            found = self._known[wanted, is_committed] = Reads(wanted, digest)
        return found


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
    for step in _steps_inside((*stage.steps, *(stage.compensation.steps if stage.compensation else ()))):
        texts += [str(step.env), str(step.with_), step.condition or "", str(step.gather or "")]
    return [first or second for text in texts if "stages" in text for first, second in _STAGE_REFERENCE.findall(text)]


def _steps_inside(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _steps_inside((*(step.body.steps if step.body else ()), *step.templates))


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
        approval=stage.approval,
    )


def _without_bound(gather: Node) -> Problem:
    text = f"the gather `{gather.id}` may have any number of items, and its stage needs approval"
    return Problem(text, gather.position, hint="say how many at most: `gather: {items: …, max: 20}`")


def _checked_order(plan: Plan) -> list[str]:
    try:
        return plan.graph().topological_order()
    except GraphError as error:
        raise DeclarationError(error.message, phase="plan") from error


def _rollback(declaration: Declaration, nodes: Sequence[Node]) -> Rollback:
    """The declared policy; else nothing where nothing can be undone, the failed stage under `continue`, else the run."""
    if declaration.defaults.rollback is not None:
        return declaration.defaults.rollback
    every = [each for node in nodes for each in (node, *node.all_templates())]
    if not any(node.reversible for node in every) and not any(stage.compensation for stage in declaration.stages):
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
    once = dict.fromkeys(problems)
    shown = [replace(p, line=declaration.source.line(p.where)) if p.where and not p.line else p for p in once]
    shown.sort(
        key=lambda problem: (
            (problem.where.file, problem.where.line, problem.where.column) if problem.where else ("", 0, 0)
        )
    )
    return DeclarationError(
        "the lifecycle cannot be planned", phase="plan", problems=shown, reason=Reason.DECLARATION_INVALID
    )
