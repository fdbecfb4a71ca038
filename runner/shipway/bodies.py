"""The bodies of a run: what is added to it, and what becomes of a node once all of its members have ended. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from shipway.action import Action, Verb
from shipway.attempt import Ended
from shipway.canonical import Json
from shipway.dedup import after_first, dedup_key, difference
from shipway.emission import CONFLICT
from shipway.errors import did_you_mean
from shipway.evaluation import Evaluation, Unresolved
from shipway.frames import is_within
from shipway.growth import Emitted, Rules, entries_of, members
from shipway.node_ids import body_of, gate_of, member_of, readable
from shipway.node_json import effect_json
from shipway.nodes import CHOOSE, DONE, GATHER, Need, NeedKind, Node, Outcome
from shipway.plan import Plan
from shipway.products import BadItems
from shipway.receipt import NodeResult
from shipway.run_record import RunRecord
from shipway.vertices import members_of, opener_of


class Conflict(BadItems):
    """A node is added a second time, and does something else: trying again does not cure that."""


class Bodies:
    """The members of each node that has any. `nodes` are all that the run has, those added to it behind the one they are of."""

    def __init__(self, plan: Plan, rules: Rules) -> None:
        """`rules` gives the slots that an action takes, by its name."""
        self._rules = rules
        self._plan = plan
        self._members = members_of(plan.nodes)
        self._added: dict[str, list[Node]] = {}
        self._by_id = dict(plan.by_id)

    def members(self, node: str) -> Sequence[str]:
        """The nodes directly in a body, in declared order."""
        return self._members.get(node, ())

    def added_by(self, node: str) -> tuple[str, ...]:
        """The nodes that this one added to the run."""
        return tuple(each.id for each in self._added.get(node, ()))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the run."""
        if not self._added:
            return self._plan.nodes
        found: list[Node] = []
        waiting = list(reversed(self._plan.nodes))
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting.extend(reversed(self._added.get(node.id, ())))
        return tuple(found)

    def items(self, node: Node, inputs: Mapping[str, Json]) -> list[Emitted]:
        """One entry for each item of a gather whose items were not known when planned. Raises BadItems."""
        return entries_of(node, inputs)

    def children(self, node: Node, entries: Sequence[Emitted]) -> list[Node]:
        """The nodes that these entries amount to, without those there are already.

        Raises BadItems, and its kind Conflict where there is one already that does something else.
        """
        keys = {entry.key for entry in entries}
        made = members(node, entries, self._rules)
        waits = {member_of(node.id, entry.key): entry.needs for entry in entries if entry.needs}
        with_needs = [
            replace(child, needs=(*child.needs, *(self._need(node, need, keys, made) for need in waits[child.id])))
            if child.id in waits
            else child
            for child in made
        ]
        for child in with_needs:
            before = self._by_id.get(child.id)
            if before is not None and effect_json(before) != effect_json(child):
                raise Conflict(f"{CONFLICT}: there is a node `{child.id}` already, and it does something else")
        return self._once([child for child in with_needs if child.id not in self._by_id])

    def stale(self, node: Node, entries: Sequence[Emitted]) -> list[str]:
        """The nodes that an earlier attempt of this one added, and that these entries no longer name."""
        kept = {member_of(node.id, entry.key) for entry in entries}
        return [
            child.id for child in self._added.get(node.id, ()) if is_within(child, node.id) and child.id not in kept
        ]

    def add(self, node: Node, children: Sequence[Node]) -> None:
        """Make `children` of `node` part of the run."""
        self._added.setdefault(node.id, []).extend(children)
        for child in children:
            self._by_id[child.id] = child
            opener = opener_of(child)
            if opener is not None:
                self._members.setdefault(opener, []).append(child.id)

    def _once(self, children: list[Node]) -> list[Node]:
        """The children, each behind the node that is done in its place where there is one. Raises BadItems."""
        if not any(child.dedup is not None for child in children):
            return children
        firsts = {dedup_key(node): node for node in reversed(self._by_id.values()) if node.dedup is not None}
        found: list[Node] = []
        for child in children:
            key = dedup_key(child)
            first = firsts.setdefault(key, child) if key is not None else child
            if key is not None and (problem := difference(first, child, key)):
                raise BadItems(problem)
            found.append(child if first is child else after_first(child, first))
        return found

    def _need(self, node: Node, name: str, keys: set[str], made: Sequence[Node]) -> Need:
        """What an entry needs: another entry by its key, a step beside the one that adds it, or any node by its id."""
        siblings = {child.id: child for child in made}
        for candidate in (member_of(node.id, name), f"{body_of(node.id)}/{name}", name):
            found = siblings.get(candidate) or self._by_id.get(candidate)
            if found is not None:
                whole = found.has_gate and found.id != node.id
                return Need(gate_of(candidate) if whole else candidate, NeedKind.NEEDS)
        steps = [each.step for each in self._plan.nodes if each.stage == node.stage]
        hint = did_you_mean(name, [*keys, *steps])
        raise BadItems(f"`needs` names `{name}`, which is no node of this run" + (f"; {hint}" if hint else ""))


def opened(node: Node, bodies: Bodies, evaluation: Evaluation, now_ms: int) -> Ended:
    """How it goes to open the members of a node: it does nothing itself, but may have to find out its items."""
    if node.gather is None or node.gather.keys is not None:
        return Ended(node.id, Verb.DO, Outcome.SUCCEEDED, now_ms, now_ms, began=False)
    try:
        entries = bodies.items(node, evaluation.inputs(node, {}))
    except (Unresolved, BadItems) as error:
        text = f"`gather`: {error}"
        return Ended(
            node.id, Verb.DO, Outcome.FAILED, now_ms, now_ms, error=text, began=False, code="inputs", is_permanent=True
        )
    emitted = tuple(entry.to_json() for entry in entries)
    return Ended(node.id, Verb.DO, Outcome.SUCCEEDED, now_ms, now_ms, began=False, emitted=emitted)


def done_by(first: NodeResult, node: Node, now_ms: int) -> Ended:
    """How a node ends that another one was done in place of: with its outputs, and nothing changed by it."""
    return Ended(
        node.id,
        Verb.DO,
        Outcome.UNCHANGED,
        now_ms,
        now_ms,
        cause=f"the same as `{readable(first.node)}`",
        outputs=first.outputs,
        began=False,
    )


def ended_as(members: Sequence[NodeResult], cause: str, results: Mapping[str, NodeResult]) -> tuple[Outcome, str]:
    """How a node with members ended, and why: by the first declared of them that failed, which `cause` is or belongs to."""
    if cause:
        error = results[cause].error if cause in results else ""
        return Outcome.FAILED, f"`{readable(cause)}`" + (f": {error}" if error else "")
    outcomes = {result.outcome for result in members}
    if Outcome.CANCELLED in outcomes or (Outcome.NOT_STARTED in outcomes and len(outcomes) > 1):
        return Outcome.CANCELLED, ""
    return (Outcome.NOT_STARTED if Outcome.NOT_STARTED in outcomes else Outcome.SUCCEEDED), ""


def rules_of(require_action: Callable[[str], Action]) -> Rules:
    """The slots of actions by name; a construct of the document takes none."""
    return lambda name: {} if name in (GATHER, CHOOSE) else require_action(name).slots


def regrown(plan: Plan, record: RunRecord, rules: Rules) -> Plan:
    """The plan with what its nodes added to a run, as far as the journal knows of it; the plan itself where they added nothing."""
    bodies = Bodies(plan, rules)
    by_id = dict(plan.by_id)
    for entry in record.history:
        if entry.emitted and entry.outcome in DONE and entry.node in by_id:
            node = by_id[entry.node]
            children = bodies.children(node, [Emitted.from_json(each) for each in entry.emitted])
            bodies.add(node, children)
            by_id.update((child.id, child) for child in children)
    return plan if bodies.nodes is plan.nodes else replace(plan, nodes=bodies.nodes)
