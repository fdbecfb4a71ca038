"""Why a node is in a plan and what changed it: its declaration, its edges with their causes, what differs from before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from shipway.comparison import Comparison, Presence, SubjectChange, SubjectKind
from shipway.errors import Position, UsageError, did_you_mean
from shipway.node_ids import bodies_of, is_gate, owner_of
from shipway.nodes import NeedKind, Node, Outcome, Promise
from shipway.plan import Plan, PlannedStage


class Site(Struct, frozen=True):
    """Where a node refers to another: the member it stands in (`env.TAG`, `with.content`, `if`), its text and its place."""

    member: str
    text: str
    position: Position


class Wait(Struct, frozen=True):
    """One edge into a node. `is_whole`: all that belongs to `node` is waited for. `outputs` are those that are taken.

    `resource` is what that node writes and this one reads; `sites` are the references that made the edge.
    """

    node: str
    kind: NeedKind
    is_whole: bool = False
    resource: str = ""
    outputs: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()


class Earlier(Struct, frozen=True):
    """What the plan is compared with: `name` in words, and how the node ended there, None where it did not run there."""

    name: str
    comparison: Comparison
    outcome: Outcome | None = None


class Explanation(Struct, frozen=True):
    """Everything there is to say about one node. `node` is None where only the earlier plan has it.

    `change` is what decides its work and differs, `around` the same of its stage and of the plan, `upstream` of what it waits
    for, however far. `observed` is what differs and decides nothing: what was found in the world, positions, titles.
    """

    subject: str
    plan: Plan
    node: Node | None
    waits: tuple[Wait, ...] = ()
    waited_for_by: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    earlier: Earlier | None = None
    change: SubjectChange | None = None
    observed: SubjectChange | None = None
    around: tuple[SubjectChange, ...] = ()
    upstream: tuple[SubjectChange, ...] = ()

    @property
    def stage(self) -> PlannedStage | None:
        """The stage that declares it; None where only the earlier plan has it."""
        if self.node is None:
            return None
        return self.plan.stages_by_id[self.node.stage.partition(".")[0] if self.is_compensation else self.node.stage]

    @property
    def is_compensation(self) -> bool:
        """Whether it runs only on a rollback of its stage."""
        return self.node is not None and self.node.id not in self.plan.by_id


def explain(
    plan: Plan, subject: str, earlier: Earlier | None = None, sites: Mapping[str, tuple[Site, ...]] | None = None
) -> Explanation:
    """Why `subject`, a node's id, is in `plan`. `sites` are its references by the node that each refers to.

    Raises UsageError for a name that neither plan has, with the nearest one.
    """
    node = _found(plan, subject)
    if node is None:
        _check_was_there(plan, subject, earlier)
        assert earlier is not None
        return Explanation(subject, plan, None, earlier=earlier, change=earlier.comparison.of(subject))
    kind = SubjectKind.NODE if subject in plan.by_id else SubjectKind.COMPENSATION
    explained = Explanation(
        subject,
        plan,
        node,
        waits=tuple(_waits(node, sites or {})),
        waited_for_by=_followers(plan, subject),
        inside=tuple(_bodies(plan, subject)),
    )
    if earlier is None:
        return explained
    comparison = earlier.comparison
    stage = explained.stage
    around = [comparison.of("plan", SubjectKind.PLAN), comparison.of(stage.id, SubjectKind.STAGE) if stage else None]
    return Explanation(
        subject,
        plan,
        node,
        explained.waits,
        explained.waited_for_by,
        explained.inside,
        earlier,
        comparison.of(subject, kind),
        next((each for each in comparison.volatile if (each.kind, each.subject) == (kind, subject)), None),
        tuple(change for change in around if change is not None),
        tuple(_upstream(plan, node, comparison)) if kind is SubjectKind.NODE else (),
    )


def _bodies(plan: Plan, subject: str) -> Iterator[str]:
    """The nodes that it is inside of: a service is named behind a word of its kind, which is no node."""
    return (body for body in bodies_of(subject) if _found(plan, body) is not None)


def _found(plan: Plan, subject: str) -> Node | None:
    return plan.by_id.get(subject) or next((node for node in plan.compensations if node.id == subject), None)


def _check_was_there(plan: Plan, subject: str, earlier: Earlier | None) -> None:
    change = earlier.comparison.of(subject) if earlier else None
    if change is not None and change.presence is Presence.REMOVED:
        return
    in_stage = [node.id for node in plan.nodes if node.stage == subject]
    if in_stage:
        listed = ", ".join(f"`{name}`" for name in in_stage[:8]) + (" …" if len(in_stage) > 8 else "")
        raise UsageError(f"`{subject}` is a stage; name one of its nodes", next=listed)
    known = [*plan.by_id, *(node.id for node in plan.compensations)]
    raise UsageError(
        f"there is no node `{subject}` in the plan",
        next=did_you_mean(subject, known) or "`shipway graph -q` lists the nodes",
    )


def _waits(node: Node, sites: Mapping[str, tuple[Site, ...]]) -> Iterator[Wait]:
    taken: dict[str, dict[str, None]] = {}
    for slot in (*node.slots.values(), *node.env.values()):
        if isinstance(slot, Promise):
            taken.setdefault(slot.node, {})[slot.output or "*"] = None
    for need in node.needs:
        owner = owner_of(need.node)
        is_promise = need.kind is NeedKind.PROMISE
        yield Wait(
            owner,
            need.kind,
            is_gate(need.node),
            need.resource,
            tuple(taken.get(owner, ())) if is_promise else (),
            sites.get(owner, ()) if is_promise else (),
        )


def _followers(plan: Plan, subject: str) -> tuple[str, ...]:
    needing = (node for node in plan.nodes if any(owner_of(need.node) == subject for need in node.needs))
    return tuple(node.id for node in needing if subject not in bodies_of(node.id))


def _upstream(plan: Plan, node: Node, comparison: Comparison) -> Iterator[SubjectChange]:
    """What differs in the nodes that it waits for, however far, in declared order."""
    before = set(map(owner_of, plan.graph().all_dependencies(node.id)))
    for change in comparison.effect:
        if change.kind is SubjectKind.NODE and change.subject in before:
            yield change
