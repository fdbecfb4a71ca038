"""The typed graph builder that a backend is handed: one call per action, every slot checked. Starts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from shipway.action import Emitting, SlotType
from shipway.builder_options import DEFAULT_OPTIONS, BuilderScope, GatherOptions, NodeHandle, NodeOptions
from shipway.canonical import Json
from shipway.conflicts import Accesses
from shipway.declaration import OutputRule, Stage
from shipway.errors import Position, Problem, did_you_mean
from shipway.expressions import ExpressionError
from shipway.foreign_calls import ForeignCalls
from shipway.frames import Frame, Frames, is_within
from shipway.growth import expanded
from shipway.items import named_items, names_item
from shipway.node_ids import template_of
from shipway.node_making import NodeMaking
from shipway.nodes import (
    CHOOSE,
    GATHER,
    Gather,
    Immediate,
    Need,
    NeedKind,
    Node,
    Promise,
)
from shipway.package_calls import PackageCalls
from shipway.products import BadItems
from shipway.referrer import Referrer
from shipway.site import Site

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*(\+[A-Za-z0-9._@%+=-]*)?|service/[a-z0-9][a-z0-9_-]*|env\[[A-Za-z0-9._@%+=-]+\]")
"""Behind a `+` stands a path, as `node_ids.named_by_path` writes it; services and env files of a preview are told by their kind."""


_STATUS = re.compile(r"\b(always|failure|cancelled)\s*\(", re.IGNORECASE)


class GraphBuilder(PackageCalls, ForeignCalls):
    """Collects the nodes of one stage. Mistakes are gathered in `problems`, never raised one by one.

    Node ids are `stage/name`. A slot takes text, integer, boolean, list or mapping with text keys; text may hold `${{ }}`,
    which is folded as far as it is known now; None leaves the slot unset; setting one twice keeps the last. A promise is an
    edge; a proxy, or `${{ item }}`, is the item of an enclosing gather. Anything else as a slot's value is a problem that
    names the slot.
    """

    def __init__(self, stage: Stage, scope: BuilderScope) -> None:
        self.stage = stage
        self.problems: list[Problem] = []
        self.stage_needs: dict[str, None] = dict.fromkeys(stage.needs)
        self._scope = scope
        self._frames = Frames(stage, scope.planned)
        self._making = NodeMaking(self, scope, self._frames)
        self.parts: list[GraphBuilder] = []

    def part(self, name: str) -> GraphBuilder:
        """A part of the stage, `stage.name`, an error boundary of its own: its nodes begin when the part before it has ended well.

        What needs the stage waits for its last part. Its nodes are promised to nobody but nodes of later parts.
        """
        stage = replace(self.stage, id=f"{self.stage.id}.{name}")
        if self.parts:
            condition = self.stage.condition
            if condition is not None and _STATUS.search(condition):
                # What was asked of the stages before is no reason to go on where an earlier part has failed.
                condition = f"success() && ({condition})"
            stage = replace(stage, needs=(self.parts[-1].stage.id,), condition=condition)
        planned = {**self._scope.planned, **{made.stage.id: made.nodes() for made in self.parts}}
        made = GraphBuilder(stage, replace(self._scope, planned=planned))
        self.parts.append(made)
        return made

    def add(
        self,
        action: str,
        name: str,
        slots: Mapping[str, object] | None = None,
        *,
        needs: Iterable[Need | NodeHandle] = (),
        options: NodeOptions = DEFAULT_OPTIONS,
        gather: GatherOptions | None = None,
    ) -> NodeHandle:
        """Add a node that carries out `action` with `slots`; its id is `stage/name`. Returns a handle to promise its outputs.

        With `gather` there is one such node for each item, `stage/name[key]`; the handle promises lists of their outputs.
        """
        node_id = self._new_id(name, options)
        if gather is None:
            self._frames.put(self._making.node(action, node_id, slots or {}, needs, options))
            return NodeHandle(node_id, self.stage.id)
        with self._gathered(node_id, name, needs, options, gather) as inner:
            self._frames.put(self._making.node(action, template_of(node_id), slots or {}, (), inner))
        return NodeHandle(node_id, self.stage.id)

    @contextmanager
    def body(
        self,
        name: str,
        names: Iterable[str],
        *,
        needs: Iterable[Need | NodeHandle] = (),
        options: NodeOptions = DEFAULT_OPTIONS,
        gather: GatherOptions | None = None,
    ) -> Iterator[NodeHandle]:
        """Add what is added inside this block as the body of a node `stage/name`, run only where its condition holds.

        `names` are those that the body's nodes will have. With `gather` the body is run once for each item.
        """
        node_id = self._new_id(name, options)
        handle = NodeHandle(node_id, self.stage.id)
        if gather is None:
            with self._inside(node_id, frozenset(names), needs, options):
                yield handle
            return
        with (
            self._gathered(node_id, name, needs, options, gather) as inner,
            self._inside(template_of(node_id), frozenset(names), (), inner),
        ):
            yield handle

    @contextmanager
    def template(self, owner: NodeHandle, name: str, most: int) -> Iterator[None]:
        """Let a node that was added emit the one node or body that is added inside this block, under `name`, when it runs.

        `most` bounds how many entries of all its templates together.
        """
        self._frames.push(Frame(template_of(owner.id), within=owner.id, gather=_last(owner.id), is_template=True))
        yield
        made = tuple(self._frames.pop().nodes.values())
        node = self._frames.top.nodes[owner.id]
        action = self._scope.find_action(node.action)
        is_silent = action is not None and action.runs_in == "thread" and not isinstance(action, Emitting)
        if is_silent and not node.templates:  # said once
            hint = "take `emits` away, or let a `run` find out what to add"
            self._problem(node.position, f"`{node.action}` of `{node.id}` never adds steps to a run", hint)
        self._frames.put(replace(node, emits=most, templates={**node.templates, name: made}))

    def order(self, *, before: NodeHandle, after: NodeHandle) -> None:
        """Start `after` only when `before` has ended well."""
        nodes = self._frames.top.nodes
        node = nodes[after.id]
        need = Need(before.id, NeedKind.NEEDS)
        if need not in node.needs:
            nodes[after.id] = replace(node, needs=(*node.needs, need))

    def nodes(self) -> tuple[Node, ...]:
        """The nodes added so far, in the order they were added, its parts' last; what waits for a body waits for all of it."""
        return (*self._frames.nodes(), *(node for part in self.parts for node in part.nodes()))

    @property
    def accesses(self) -> dict[str, Accesses]:
        """What the nodes added so far touch, by their ids, as far as it is known when planned."""
        return self._making.accesses(self._frames.top.nodes.values())

    def check_references(self) -> None:
        """Once all nodes are there: report promises of nodes or outputs that do not exist, all of them."""
        for node in self._frames.written.values():
            for name, slot in (*node.slots.items(), *node.env.items()):
                if isinstance(slot, Promise):
                    self._check_promise(node, name, slot)

    def _check_promise(self, node: Node, name: str, promise: Promise) -> None:
        producer = self.find(promise.node)
        if producer is None:
            known = [*self._frames.written, *(other.id for nodes in self._scope.planned.values() for other in nodes)]
            self._problem(
                node.position,
                f"slot `{name}` of `{node.id}` takes from the unknown node `{promise.node}`",
                did_you_mean(promise.node, known),
            )
        elif promise.output is not None and promise.output not in producer.outputs:
            declared = ", ".join(f"`{output}`" for output in producer.outputs) or "none"
            self._problem(
                node.position,
                f"slot `{name}` of `{node.id}` takes output `{promise.output}`, which `{promise.node}` does not declare"
                f" (declared: {declared})",
                did_you_mean(promise.output, producer.outputs),
            )

    def find(self, node_id: str) -> Node | None:
        """The node of this stage or of one planned before, or None."""
        return self._frames.find(node_id)

    def stage_outputs(self, stage: str) -> Mapping[str, str]:
        """Output name to node id, over the steps of a stage planned before."""
        return self._frames.stage_outputs(stage)

    def step_id(self, name: str) -> str:
        """The id of the node that `steps.<name>` means here: the nearest of that name, from the inside out."""
        return self._frames.step_id(name)

    @property
    def gathers(self) -> tuple[str, ...]:
        """The names of the gathers around what is being added, outermost first."""
        return self._frames.gathers

    def fold_condition(self, text: str | None) -> str | None:
        """The stage's own `if` with what is known now put in; what it refers to becomes a need of the stage."""
        return Referrer(self, self.stage.id, self.stage.where).condition(text)

    def script_slots(self, action: str) -> tuple[str, ...]:
        """The slots of an action that hold scripts."""
        return tuple(name for name, rule in self._making.rules(action).items() if rule.is_script)

    def text_slots(self, action: str) -> frozenset[str]:
        """The slots of an action that take text: there a number keeps the spelling it has in the source."""
        return frozenset(name for name, rule in self._making.rules(action).items() if rule.type is SlotType.STRING)

    @property
    def known(self) -> Mapping[str, Json]:
        """The contexts whose values are known when planned."""
        return self._scope.known

    @property
    def site(self) -> Site:
        """The workspace and the machine that the stage is planned on."""
        return self._scope.site

    def reading(self, patterns: tuple[str, ...] | None) -> None:
        """The files that decide what the stage does, where its declaration names none; None: the whole tree."""
        if self.stage.reads is None and patterns is not None:
            self.stage = replace(self.stage, reads=patterns)

    def folded(self, value: Json, where: Position) -> Json:
        """A value of the stage's `with`, with what is known now put in. What is known only when run is a problem, and None."""
        slot = Referrer(self, self.stage.id, where).slot("with", value)
        if isinstance(slot, Immediate):
            return slot.value
        if slot is not None:
            self._problem(where, f"`with` of stage `{self.stage.id}` has to be known when planned")
        return None

    # Bodies.

    @contextmanager
    def _inside(
        self, node_id: str, names: frozenset[str], needs: Iterable[Need | NodeHandle], options: NodeOptions
    ) -> Iterator[None]:
        """Collect a body into nodes behind the node that opens it."""
        refs = Referrer(self, node_id, options.position or self.stage.where)
        condition = self._making.body_condition(refs, options)
        opener = self._making.opener(CHOOSE, node_id, refs, needs, replace(options, condition=None), condition)
        self._frames.push(Frame(node_id, names, node_id, env=self._body_env(options)))
        yield
        made = self._frames.pop()
        direct = [node for node in made.nodes.values() if is_within(node, node_id)]
        outputs = {name: rule for node in direct for name, rule in node.outputs.items()}
        self._frames.put(replace(opener, outputs=outputs))
        self._frames.top.nodes.update(made.nodes)

    @contextmanager
    def _gathered(
        self,
        node_id: str,
        name: str,
        needs: Iterable[Need | NodeHandle],
        options: NodeOptions,
        gather: GatherOptions,
    ) -> Iterator[NodeOptions]:
        """Collect the template of a gather, then expand it where its items are known; yields the options of its members."""
        refs = Referrer(self, node_id, options.position or self.stage.where)
        slots = {slot: filled for slot, value in gather.slots.items() if (filled := refs.slot(slot, value)) is not None}
        self._frames.push(Frame(template_of(node_id), within=node_id, gather=name, env=self._frames.top.env))
        is_per_item = options.condition is not None and self._names_own_item(options.condition, name)
        key = None if gather.key is None else self._making.key(node_id, gather.key, options)
        yield options if is_per_item else replace(options, condition=None)
        made = self._frames.pop()
        condition = None if is_per_item else refs.condition(options.condition)
        rule = Gather(None, gather.limit, key, gather.max, gather.on_failure)
        owner = replace(
            self._making.opener(GATHER, node_id, refs, needs, options, condition),
            slots=slots,
            gather=rule,
            templates={name: tuple(made.nodes.values())},
            outputs={output: OutputRule("list") for output in made.nodes[template_of(node_id)].outputs},
        )
        self._frames.written[node_id] = owner
        try:
            for node in expanded(owner, self._making.rules):
                self._frames.add(node)
        except BadItems as error:
            self._problem(owner.position, f"`gather` of `{node_id}`: {error}")

    def _body_env(self, options: NodeOptions) -> Mapping[str, str]:
        env = {**self._frames.top.env, **options.env}
        gathers = self.gathers
        if not gathers:
            return env
        try:
            return {name: named_items(text, gathers[-1]) for name, text in env.items()}
        except ExpressionError:
            return env  # every node of the body says so

    def _names_own_item(self, condition: str, name: str) -> bool:
        named = Referrer(self, "", self.stage.where).named(condition)
        return named is not None and names_item(named, name)

    def _new_id(self, name: str, options: NodeOptions) -> str:
        frame = self._frames.top
        node_id = frame.path if frame.is_template else f"{frame.path}/{name}"
        where = options.position or self.stage.where
        if not _ID.fullmatch(name):
            self._problem(where, f"`{name}` is no name for a node: use lower-case letters, digits and `-`")
        if node_id in frame.nodes:
            self._problem(where, f"node `{node_id}` is declared twice")
        return node_id

    def problem(self, text: str, hint: str, where: Position) -> None:
        """Report a mistake that only the caller can see."""
        self._problem(where, text, hint)

    def _problem(self, where: Position, text: str, hint: str = "") -> None:
        self.problems.append(Problem(text, where, hint=hint))


def _last(node: str) -> str:
    return node.rpartition("/")[2]
