"""What each node of a plan would do, as its action says, given what is known by then. Read-only; builds no node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import PLAN_COMMAND_FAILED, Action, ActionFailed, Command, Completed, PlanWork, Prediction
from shipway.backend import Capability
from shipway.canonical import Json
from shipway.declaration import Declaration
from shipway.durations import format_ms
from shipway.environment import passed_through
from shipway.errors import RunFailed, ShipwayError
from shipway.evaluation import Evaluation, Unresolved, names_secret, references_of
from shipway.expressions import Reference
from shipway.file_state import remembering
from shipway.node_ids import body_of, owner_of, written_as
from shipway.nodes import Change, Computed, Fidelity, Immediate, NeedKind, Node, Outcome, Promise, Proxy, Slot
from shipway.plan import Plan
from shipway.redaction import redacted_value
from shipway.registry import Registry, show
from shipway.resolution import Resolved
from shipway.shelf import Shelf
from shipway.state import Prior, State
from shipway.vertices import members_of


class PlanTools(Struct, frozen=True):
    """What planning may use: actions and backends, the child environment's base, secrets by name, and a way to run a command.

    `redact` masks secrets in what actions and commands say: a plan leaves the machine. `withheld` are secrets, by node as
    written, that its commands are not handed. `prior` gives what exists before the run, by default nothing;
    `shelf` what actions kept.
    """

    registry: Registry
    resolved: Mapping[str, Resolved]
    env: Mapping[str, str]
    base_env: Mapping[str, str]
    secrets: Mapping[str, str]
    execute: Callable[[Node, Command], Completed]
    redact: Callable[[str], str]
    withheld: Mapping[str, frozenset[str]] = field(default_factory=dict)
    prior: Prior = State
    shelf: Shelf | None = None


_NO_SLOTS: frozenset[str] = frozenset()


class Predictor:
    """Asks each action what it would do, given what is known of its slots by then."""

    def __init__(self, plan: Plan, tools: PlanTools, declaration: Declaration, root: Path) -> None:
        self._tools = tools
        self._declaration = declaration
        self._root = root
        self._evaluation = Evaluation(github={}, runner={}, secrets=tools.secrets, known={}, root=root)
        self._foretold: dict[str, Mapping[str, Json]] = {}
        self._fidelity: dict[str, Fidelity] = {}
        self._whys: dict[str, str] = {}
        self._real = remembering()
        self._ids = frozenset(plan.by_id)
        self._members = members_of(plan.nodes)
        self._sure = {node.id: {name for name, rule in node.outputs.items() if rule.required} for node in plan.nodes}

    def predict(self, node: Node) -> Node:
        """The node with what its action says of it; what templates say is the same for each of their items."""
        if node.templates:
            node = replace(node, templates={name: self._templates(nodes) for name, nodes in node.templates.items()})
        if node.is_group:
            return self._opened(node)
        chosen = self._tools.resolved.get(node.stage)
        if chosen is not None and Capability.DRY_RUN not in chosen.backend.capabilities:
            return self._untold(node, chosen)
        return self._asked(node)

    def _untold(self, node: Node, chosen: Resolved) -> Node:
        """A node of a backend that cannot say what it would do: what is known of it is whether it can be undone."""
        found = self._asked(_silent(node))
        self._foretold[node.id], self._fidelity[node.id] = {}, Fidelity.OPAQUE
        self._evaluation.record(node, Outcome.SUCCEEDED, {})
        return replace(
            node,
            change=Change.RUN if found.change is Change.NOOP else found.change,
            reversible=found.reversible,
            fidelity=Fidelity.OPAQUE,
            why=f"backend `{show(chosen.key)}` cannot tell before what it will do",
        )

    def close(self, node: Node) -> Node:
        """The node once all of its members are predicted: what they hand on, it does."""
        if not node.is_group:
            return node
        members = self._members.get(node.id, ())
        fidelities = [self._fidelity.get(member, Fidelity.OPAQUE) for member in members]
        self._fidelity[node.id] = max(fidelities, key=tuple(Fidelity).index, default=Fidelity.EXACT)
        known = all(set(self._foretold.get(member, {})) >= set(node.outputs) for member in members)
        if (
            not node.outputs
            or node.condition is not None
            or (node.gather is not None and (not known or node.templates))
        ):
            return node
        outputs = self._evaluation.outputs_of(node, members)
        self._foretold[node.id] = outputs
        self._evaluation.record(node, Outcome.SUCCEEDED, outputs)
        return replace(node, predicted=outputs)

    def _opened(self, node: Node) -> Node:
        """A node that only opens its members: nothing happens by it, unless its items are known only then."""
        if node.gather is None or node.gather.keys is not None:
            return node
        _, unknown = self._resolve(node, node.slots)
        waits = ", ".join(dict.fromkeys(unknown.values())) or "the run"
        return replace(node, change=Change.RUN, fidelity=Fidelity.OPAQUE, why=f"its items wait for {waits}")

    def _templates(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        return tuple(self._template(node) for node in nodes)

    def _template(self, node: Node) -> Node:
        """A node that is added when run: what it will do is not known, but whether that can be undone is."""
        if node.is_group:
            return replace(self.predict(node), fidelity=Fidelity.OPAQUE)
        found = self._asked(_silent(node))
        return replace(
            node,
            change=found.change,
            reversible=found.reversible,
            fidelity=Fidelity.OPAQUE,
            why="known when it is added",
        )

    def _asked(self, node: Node) -> Node:
        action = self._tools.registry.require_action(node.action)
        inputs, unknown = self._resolve(node, node.slots)
        env, unknown_env = self._resolve(node, node.env)
        base = self._tools.base_env
        if node.env_from or env:
            passed = passed_through(node.env_from, self._tools.env, self._tools.secrets)
            base = {**base, **passed, **{name: str(value) for name, value in env.items()}}
        work = PlanWork(
            node=node,
            inputs=inputs,
            unknown=unknown,
            env=base,
            unknown_env=unknown_env,
            root=self._root,
            execute=lambda command: self._tools.execute(node, command),
            secret=_secret_slots(node),
            real=self._real,
            shelf=self._tools.shelf,
        )
        said = asked_again(node, self._ask(action, work))
        fidelity, why = self._honest(node, said, unknown)
        outputs = self._tellable(said.outputs)
        self._foretold[node.id] = outputs
        self._evaluation.record(node, Outcome.SUCCEEDED, outputs)
        self._fidelity[node.id] = fidelity
        before, after = self._shown(said)
        return replace(
            node,
            change=said.change,
            fidelity=fidelity,
            why=self._told(why),
            before=before,
            after=after,
            predicted=outputs,
            reversible=said.reversible,
        )

    def _shown(self, said: Prediction) -> tuple[Json, Json]:
        """What stands there and what will, masked; where that is the same and holds no secret, it is looked through once."""
        after = said.after and redacted_value(said.after, self._tools.redact)
        if said.change is Change.NOOP and said.before == said.after == after:
            return after, after
        return said.before and redacted_value(said.before, self._tools.redact), after

    def _told(self, why: str) -> str:
        """What is said of a node, masked; thousands of them say the same."""
        found = self._whys.get(why)
        if found is None:
            found = self._whys[why] = self._tools.redact(why)
        return found

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

    def _failed(self, node: Node, text: str, error: ActionFailed) -> ShipwayError:
        how = "put that right, then plan again"
        if error.code == PLAN_COMMAND_FAILED:
            how = "a plan must be able to look without changing anything: correct the command, then plan again"
        return RunFailed(
            f"`{node.id}`: {text}",
            phase="plan",
            stage=node.stage,
            where=node.position,
            line=self._declaration.source.line(node.position),
            next=how,
        )

    def _honest(self, node: Node, said: Prediction, unknown: Mapping[str, str]) -> tuple[Fidelity, str]:
        """No node is surer than what it builds on: opaque behind something unknown, predicted behind a prediction."""
        if unknown and said.fidelity is not Fidelity.OPAQUE and not said.is_settled:
            return Fidelity.OPAQUE, "waits for " + ", ".join(dict.fromkeys(unknown.values()))
        promised = [owner_of(need.node) for need in node.needs if need.kind is NeedKind.PROMISE]
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
                    elif output is None and self._is_whole(producer):
                        known[name] = foretold
                    else:
                        unknown[name] = f"`{producer}`"
                case Proxy():
                    unknown[name] = "its item"
                case Computed():
                    self._resolve_text(node, name, slot, known, unknown)
        return known, unknown

    def _resolve_text(
        self, node: Node, name: str, slot: Computed, known: dict[str, Json], unknown: dict[str, str]
    ) -> None:
        """A text made of secrets and foretold outputs is known; anything else waits for a node or for the run."""
        for reference in references_of(slot.expression):
            if reference.path[0] == "secrets" and self._is_withheld(node, reference):
                unknown[name] = "a secret that it was not handed before"
                return
            if reference.path[0] != "secrets" and not self._is_foretold(node, reference):
                unknown[name] = self._awaited(node, reference)
                return
        probe = replace(node, slots={name: slot})
        try:
            known.update(self._evaluation.inputs(probe, {}))
        except Unresolved:
            unknown[name] = "a secret that is not set"

    def _is_whole(self, producer: str) -> bool:
        """Whether everything that a node surely hands on was foretold, so that all of it as one object is known."""
        sure = self._sure.get(producer, set())
        return bool(sure) and sure <= self._foretold.get(producer, {}).keys()

    def _is_withheld(self, node: Node, reference: Reference) -> bool:
        return bool(self._tools.withheld) and reference.path[-1] in self._tools.withheld.get(written_as(node.id), ())

    def _is_foretold(self, node: Node, reference: Reference) -> bool:
        match reference.path:
            case ("steps", str(step), "outputs", str(output), *_):
                return output in self._foretold.get(self._named(node, step), {})
            case ("stages", str(stage), "steps", str(step), "outputs", str(output), *_):
                return output in self._foretold.get(f"{stage}/{step}", {})
            case ("stages", str(stage), "outputs", str(output), *_):
                return any(output in said for other, said in self._foretold.items() if other.startswith(f"{stage}/"))
        return False

    def _named(self, node: Node, step: str) -> str:
        """The node that `steps.<step>` means to a node: the nearest of that name, from the inside out."""
        body = body_of(node.id)
        while body != node.stage and f"{body}/{step}" not in self._ids:
            body = body_of(body)
        return f"{body}/{step}"

    def _awaited(self, node: Node, reference: Reference) -> str:
        """What has to happen before a reference has a value, in words."""
        match reference.path:
            case ("steps", str(step), *_):
                return f"`{self._named(node, step)}`"
            case ("stages", str(stage), "steps", str(step), *_):
                return f"`{stage}/{step}`"
            case ("stages", str(stage), *_):
                return f"stage `{stage}`"
            case ("items", *_):
                return "its item"
        return "the run"


def _silent(node: Node) -> Node:
    """The node without the command that looks before it runs."""
    slots = {name: slot for name, slot in node.slots.items() if name not in ("plan", "plan_requires")}
    return replace(node, slots=slots)


def _secret_slots(node: Node) -> frozenset[str]:
    computed = [name for name, slot in node.slots.items() if type(slot) is Computed]
    return frozenset(name for name in computed if names_secret(node.slots[name])) if computed else _NO_SLOTS


def asked_again(node: Node, said: Prediction) -> Prediction:
    """What is asked until it holds changes nothing by that, unless it is said to be lasting; when it succeeds it holds."""
    if not node.every_ms:
        return said
    said = replace(said, outputs={name: value is False or value for name, value in said.outputs.items()})
    if node.lasting:
        return said
    every, most = format_ms(node.every_ms), format_ms(node.timeout_ms)
    return replace(said, change=Change.READ, reversible=False, why=f"asked every {every}, for {most} at most")
