"""The typed graph builder that a backend is handed: one call per action, every slot checked. Starts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shipway import expressions
from shipway.accesses import accesses_of
from shipway.action import Action, SlotRule, SlotType
from shipway.builder_calls import DEFAULT_OPTIONS, ActionCalls
from shipway.builder_calls import NodeHandle as NodeHandle
from shipway.builder_calls import NodeOptions as NodeOptions
from shipway.canonical import MAX_SAFE_INTEGER, Json
from shipway.conflicts import Accesses
from shipway.declaration import Stage
from shipway.errors import Position, Problem, did_you_mean
from shipway.expressions import ExpressionError, Reference
from shipway.nodes import Change, Computed, Immediate, Need, NeedKind, Node, Promise, Reads, Slot
from shipway.resources import file_patterns

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class BuilderScope:
    """What a builder sees beyond its stage: planned contexts, actions by name, nodes of stages planned before, file digests."""

    known: Mapping[str, Json]
    find_action: Callable[[str], Action | None]
    action_names: Callable[[], Iterable[str]]
    planned: Mapping[str, Sequence[Node]]
    read: Callable[[tuple[str, ...] | None], Reads]


class GraphBuilder(ActionCalls):
    """Collects the nodes of one stage. Mistakes are gathered in `problems`, never raised one by one.

    Node ids are `stage/name`. A slot takes text, integer, boolean, list or mapping with text keys; text may hold `${{ }}`,
    which is folded as far as it is known now; None leaves the slot unset; setting one twice keeps the last. A promise is an
    edge. Anything else as a slot's value is a problem that names the slot.
    """

    def __init__(self, stage: Stage, scope: BuilderScope) -> None:
        self.stage = stage
        self.problems: list[Problem] = []
        self.stage_needs: dict[str, None] = dict.fromkeys(stage.needs)
        self.accesses: dict[str, Accesses] = {}
        self._scope = scope
        self._nodes: dict[str, Node] = {}

    def add(
        self,
        action: str,
        name: str,
        slots: Mapping[str, object] | None = None,
        *,
        needs: Iterable[Need | NodeHandle] = (),
        options: NodeOptions = DEFAULT_OPTIONS,
    ) -> NodeHandle:
        """Add a node that carries out `action` with `slots`; its id is `stage/name`. Returns a handle to promise its outputs."""
        node_id = f"{self.stage.id}/{name}"
        where = options.position or self.stage.where
        if not _ID.fullmatch(name):
            self._problem(where, f"`{name}` is no name for a node: use lower-case letters, digits and `-`")
        if node_id in self._nodes:
            self._problem(where, f"node `{node_id}` is declared twice")
        found = self._scope.find_action(action)
        if found is None:
            self._problem(where, f"unknown action `{action}`", did_you_mean(action, self._scope.action_names()))
        edges: dict[tuple[str, NeedKind], None] = {}
        for need in needs:
            edges[(need.id, NeedKind.NEEDS) if isinstance(need, NodeHandle) else (need.node, need.kind)] = None
        refs = _Referrer(self, node_id, where)
        filled = refs.slots(slots or {}, found)
        env = refs.environment({**self.stage.env, **options.env})
        condition = refs.condition(options.condition)
        for promised in refs.promised:
            edges[(promised, NeedKind.PROMISE)] = None
        self._nodes[node_id] = Node(
            id=node_id,
            stage=self.stage.id,
            action=action,
            position=where,
            title=options.title or _title(action, filled),
            tags=options.tags,
            slots=filled,
            env=env,
            env_from=tuple(dict.fromkeys((*self.stage.env_from, *options.env_from))),
            needs=tuple(Need(*edge) for edge in edges),
            condition=condition,
            outputs={**(found.outputs if found else {}), **options.outputs},
            change=Change.RUN,
            lasting=options.lasting,
            retry=options.retry,
            timeout_ms=options.timeout_ms,
            undo_retry=options.retry if options.undo_retry is None else options.undo_retry,
            undo_timeout_ms=options.timeout_ms if options.undo_timeout_ms is None else options.undo_timeout_ms,
            limits=options.limits,
            locks=options.locks,
            exclusive=options.exclusive,
            allow_failure=options.allow_failure,
            reads=self._scope.read(self._files_read(options)),
        )
        touched = accesses_of(found, filled, options.reads or (), options.writes)
        if touched is not None:
            self.accesses[node_id] = touched
        return NodeHandle(node_id, self.stage.id)

    def _files_read(self, options: NodeOptions) -> tuple[str, ...] | None:
        """The files that decide what a node does; where its `reads` names none but other things, those of its stage."""
        if options.reads is None or (options.reads and not file_patterns(options.reads)):
            return self.stage.reads
        return file_patterns(options.reads)

    def order(self, *, before: NodeHandle, after: NodeHandle) -> None:
        """Start `after` only when `before` has ended well."""
        node = self._nodes[after.id]
        need = Need(before.id, NeedKind.NEEDS)
        if need not in node.needs:
            self._nodes[after.id] = replace(node, needs=(*node.needs, need))

    def nodes(self) -> tuple[Node, ...]:
        """The nodes added so far, in the order they were added."""
        return tuple(self._nodes.values())

    def check_references(self) -> None:
        """Once all nodes are there: report promises of nodes or outputs that do not exist, all of them."""
        for node in self._nodes.values():
            for name, slot in (*node.slots.items(), *node.env.items()):
                if isinstance(slot, Promise):
                    self._check_promise(node, name, slot)

    def _check_promise(self, node: Node, name: str, promise: Promise) -> None:
        producer = self.find(promise.node)
        if producer is None:
            known = [*self._nodes, *(other.id for nodes in self._scope.planned.values() for other in nodes)]
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
        if node_id in self._nodes:
            return self._nodes[node_id]
        stage = node_id.partition("/")[0]
        return next((node for node in self._scope.planned.get(stage, ()) if node.id == node_id), None)

    def locate(self, step: str) -> str:
        """The id of the node that `steps.<step>` means here: of this stage or, in a compensation, of what it compensates."""
        stage, dot, _ = self.stage.id.partition(".")
        of_stage = f"{stage}/{step}"
        return of_stage if dot and self.find(of_stage) is not None else f"{self.stage.id}/{step}"

    def stage_outputs(self, stage: str) -> Mapping[str, str]:
        """Output name to node id, over the nodes of a stage planned before."""
        return {output: node.id for node in self._scope.planned.get(stage, ()) for output in node.outputs}

    def fold_condition(self, text: str | None) -> str | None:
        """The stage's own `if` with what is known now put in; what it refers to becomes a need of the stage."""
        return _Referrer(self, self.stage.id, self.stage.where).condition(text)

    def text_slots(self, action: str) -> frozenset[str]:
        """The slots of an action that take text: there a number keeps the spelling it has in the source."""
        found = self._scope.find_action(action)
        rules = found.slots if found else {}
        return frozenset(name for name, rule in rules.items() if rule.type is SlotType.STRING)

    @property
    def known(self) -> Mapping[str, Json]:
        """The contexts whose values are known when planned."""
        return self._scope.known

    def _problem(self, where: Position, text: str, hint: str = "") -> None:
        self.problems.append(Problem(text, where, hint=hint))


class _Referrer:
    """Turns what was written into slots for one node, and collects whom it refers to."""

    def __init__(self, builder: GraphBuilder, node_id: str, where: Position) -> None:
        self.builder = builder
        self.node_id = node_id
        self.where = where
        self.promised: dict[str, None] = {}

    def problem(self, text: str, hint: str = "") -> None:
        self.builder.problems.append(Problem(text, self.where, hint=hint))

    def slots(self, given: Mapping[str, object], action: Action | None) -> dict[str, Slot]:
        rules: Mapping[str, SlotRule] = action.slots if action else {}
        filled: dict[str, Slot] = {}
        for name, value in given.items():
            if value is None:
                continue
            if action and name not in rules:
                self.problem(
                    f"action `{action.name}` has no slot `{name}` (node `{self.node_id}`)", did_you_mean(name, rules)
                )
                continue
            slot = self.slot(name, value)
            if slot is not None:
                filled[name] = slot
        for name, rule in rules.items():
            self._check_rule(name, rule, filled)
        return filled

    def _check_rule(self, name: str, rule: SlotRule, filled: dict[str, Slot]) -> None:
        slot = filled.get(name)
        if slot is None:
            if rule.required:
                self.problem(f"slot `{name}` of `{self.node_id}` is not set: it takes a {rule.type.value}")
            elif rule.default is not None:
                filled[name] = Immediate(rule.default)
        elif isinstance(slot, Immediate) and not fits(slot.value, rule.type):
            actual = type_word(slot.value)
            self.problem(
                f"slot `{name}` of `{self.node_id}` takes a {rule.type.value}, not a {actual} ({_shown(slot.value)})"
            )

    def slot(self, name: str, value: object) -> Slot | None:
        """The slot for one written value; None, with a problem noted, where it is of no kind a slot can hold."""
        if isinstance(value, Promise):
            self._promise(value.node)
            return value
        if isinstance(value, (Immediate, Computed)):
            return value
        fault = _not_json(value)
        if fault:
            self.problem(f"slot `{name}` of `{self.node_id}` cannot hold {fault}")
            return None
        return self._folded(value)  # type: ignore[arg-type]

    def _folded(self, value: Json) -> Slot:
        promise = self._whole_reference(value)
        if promise is not None:
            self._promise(promise.node)
            return promise
        folded, is_known = self._fold(value)
        return Immediate(folded) if is_known else Computed(folded)

    def _fold(self, value: Json) -> tuple[Json, bool]:
        """`value` with what is known now put in, and whether nothing is left to evaluate."""
        if isinstance(value, str):
            return self._fold_text(value)
        if isinstance(value, Mapping):
            members = {key: self._fold(item) for key, item in value.items()}
            return {key: item for key, (item, _) in members.items()}, all(known for _, known in members.values())
        if isinstance(value, Sequence):
            items = [self._fold(item) for item in value]
            return [item for item, _ in items], all(known for _, known in items)
        return value, True

    def _fold_text(self, text: str) -> tuple[Json, bool]:
        if not expressions.has_expression(text):
            return text, True
        try:
            template = expressions.partially_evaluate(expressions.parse_template(text), self.builder.known)
            if template.is_known:
                return expressions.evaluate_template(template, {}), True
        except ExpressionError as error:
            self.problem(f"{error.message} in `{text}`", error.hint)
            return text, True
        self._refer(template.references)
        return template.text, False

    def condition(self, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            folded = expressions.partially_evaluate(expressions.parse(text), self.builder.known)
        except ExpressionError as error:
            self.problem(f"{error.message} in `if`", error.hint)
            return text
        self._refer(folded.references)
        return folded.text

    def environment(self, env: Mapping[str, str]) -> dict[str, Slot]:
        filled: dict[str, Slot] = {}
        for name, text in env.items():
            slot = self._folded(text)
            if isinstance(slot, Immediate):
                slot = Immediate(expressions.to_text(slot.value))
            elif isinstance(slot, Computed) and _refers_to_env(slot):
                self.problem(f"`env` cannot refer to `env` (variable `{name}` of `{self.node_id}`)")
            filled[name] = slot
        return filled

    def _whole_reference(self, value: Json) -> Promise | None:
        """The promise that `${{ steps.a.outputs.b }}` alone amounts to; None for anything else."""
        if not isinstance(value, str) or not expressions.has_expression(value):
            return None
        try:
            single = expressions.parse_template(value).single
        except ExpressionError:
            return None
        if single is None or len(single.references) != 1 or single.references[0].width != len(single.text):
            return None
        producer, rest = self._producer(single.references[0])
        return Promise(producer, rest) if producer is not None and rest is not None else None

    def _producer(self, reference: Reference) -> tuple[str | None, str | None]:
        """The node and output that a reference names exactly, or None for what it leaves open."""
        match reference.path:
            case ("steps", str(step), "outputs", str(output)):
                return self.builder.locate(step), output
            case ("stages", str(other), "steps", str(step), "outputs", str(output)):
                return f"{other}/{step}", output
            case ("stages", str(other), "outputs", str(output)):
                return self.builder.stage_outputs(other).get(output), output
        return None, None

    def _refer(self, references: Iterable[Reference]) -> None:
        """Note the edges that the references amount to: to a node where one is named, else to a whole stage."""
        for reference in references:
            match reference.path:
                case ("steps", str(step), *_):
                    self._promise(self.builder.locate(step))
                case ("stages", str(other), "steps", str(step), *_):
                    self._promise(f"{other}/{step}")
                case ("stages", str(other), "outputs", str(output), *_):
                    producer = self.builder.stage_outputs(other).get(output)
                    if producer is None:
                        self.problem(
                            f"stage `{other}` has no output `{output}`",
                            did_you_mean(output, self.builder.stage_outputs(other)),
                        )
                    else:
                        self._promise(producer)
                case ("stages", str(other), *_):
                    self.builder.stage_needs[other] = None
                case ("steps" | "stages", *_):
                    self.problem("name the step: `steps.<id>` or `stages.<id>`, so that the edge is known when planned")

    def _promise(self, node: str) -> None:
        """Note the edge from `node` and, where it is another stage's, from that stage."""
        self.promised[node] = None
        stage = node.partition("/")[0]
        if stage != self.builder.stage.id:
            self.builder.stage_needs[stage] = None


def fits(value: Json, kind: SlotType) -> bool:
    """Whether an immediate value is of a slot's type. A whole number is also a `number`."""
    match kind:
        case SlotType.ANY:
            return True
        case SlotType.STRING:
            return isinstance(value, str)
        case SlotType.BOOLEAN:
            return isinstance(value, bool)
        case SlotType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case SlotType.NUMBER:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case SlotType.LIST:
            return isinstance(value, Sequence) and not isinstance(value, str)
        case SlotType.OBJECT:
            return isinstance(value, Mapping)


def type_word(value: Json) -> str:
    """The type of a JSON value in the words of the declaration."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "list"


def _not_json(value: object) -> str:
    """What in `value` no slot can hold, in words; empty where all is well."""
    if value is None or isinstance(value, (bool, str, float)):
        return ""
    if isinstance(value, int):
        return "" if abs(value) <= MAX_SAFE_INTEGER else f"the integer {value}, beyond 2^53-1"
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            return "a mapping with keys that are not text"
        return next(filter(None, map(_not_json, value.values())), "")
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_not_json, value)), "")
    return f"a value of type {type(value).__name__}"


def _refers_to_env(slot: Computed) -> bool:
    template = expressions.parse_template(str(slot.expression), rendered=True)
    return any(reference.path[0] == "env" for reference in template.references)


def _shown(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _title(action: str, slots: Mapping[str, Slot]) -> str:
    """What to call a node that was given no name: the first line of its script, or its action and what it acts on."""
    for name in ("run", "path", "source"):
        slot = slots.get(name)
        if isinstance(slot, Immediate) and isinstance(slot.value, str):
            first = next((line.strip() for line in slot.value.splitlines() if line.strip()), "")
            return first if name == "run" else f"{action} {first}"
    return action
