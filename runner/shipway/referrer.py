"""What a node's slots, variables and condition refer to: values known now, promises, proxies, and edges. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from shipway import expressions
from shipway.action import Action, SlotRule
from shipway.canonical import MAX_SAFE_INTEGER, Json
from shipway.declaration import Stage
from shipway.errors import Position, Problem, did_you_mean
from shipway.expressions import ExpressionError, Reference
from shipway.items import named_item, named_items
from shipway.nodes import Computed, Immediate, Promise, Proxy, Slot
from shipway.slot_types import fits, type_word


class Referring(Protocol):
    """Where a node is being built: what is known, which names stand for which nodes, and where mistakes go."""

    stage: Stage
    problems: list[Problem]
    stage_needs: dict[str, None]

    @property
    def known(self) -> Mapping[str, Json]:
        """The contexts whose values are known when planned."""

    @property
    def gathers(self) -> tuple[str, ...]:
        """The names of the gathers around the node, outermost first."""

    def step_id(self, name: str) -> str:
        """The id of the node that `steps.<name>` means here."""

    def stage_outputs(self, stage: str) -> Mapping[str, str]:
        """Output name to node id, over the steps of a stage planned before."""


class Referrer:
    """Turns what was written into slots for one node; `promised` are the ids of the nodes that it refers to."""

    def __init__(
        self, builder: Referring, node_id: str, where: Position, place: Callable[[str], Position] | None = None
    ) -> None:
        """`place` says where a slot was written, None where every mistake is at `where`."""
        self.builder = builder
        self.node_id = node_id
        self.where = where
        self.place = place
        self.promised: dict[str, None] = {}

    def problem(self, text: str, hint: str = "", slot: str = "") -> None:
        where = self.place(slot) if slot and self.place is not None else self.where
        self.builder.problems.append(Problem(text, where, hint=hint))

    def slots(self, given: Mapping[str, object], action: Action | None) -> dict[str, Slot]:
        rules: Mapping[str, SlotRule] = action.slots if action else {}
        filled: dict[str, Slot] = {}
        for name, value in given.items():
            if value is None:
                continue
            if action and name not in rules:
                text = f"action `{action.name}` has no slot `{name}` (node `{self.node_id}`)"
                self.problem(text, did_you_mean(name, rules), slot=name)
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
                self.problem(f"slot `{name}` of `{self.node_id}` is not set: it takes a {rule.type.value}", slot=name)
            elif rule.default is not None:
                filled[name] = Immediate(rule.default)
        elif isinstance(slot, Immediate) and not fits(slot.value, rule.type):
            actual = type_word(slot.value)
            self.problem(
                f"slot `{name}` of `{self.node_id}` takes a {rule.type.value}, not a {actual} ({_shown(slot.value)})",
                slot=name,
            )

    def slot(self, name: str, value: object) -> Slot | None:
        """The slot for one written value; None, with a problem noted, where it is of no kind a slot can hold."""
        if type(value) is str and not expressions.has_expression(value):
            return Immediate(value)
        if isinstance(value, Promise):
            self._promise(value.node)
            return value
        if isinstance(value, Proxy) and not self._is_enclosing(value.gather):
            self._not_enclosed(Reference(("items", value.gather), "items", 0, 0))
            return None
        if isinstance(value, (Immediate, Computed, Proxy)):
            return value
        fault = _not_json(value)
        if fault:
            self.problem(f"slot `{name}` of `{self.node_id}` cannot hold {fault}", slot=name)
            return None
        return self._folded(value)  # type: ignore[arg-type]

    def _folded(self, value: Json) -> Slot:
        whole = self._whole_reference(value)
        if whole is not None:
            if isinstance(whole, Promise):
                self._promise(whole.node)
            return whole
        folded, is_known = self._fold(value)
        return Immediate(folded) if is_known else Computed(folded)

    def _fold(self, value: Json) -> tuple[Json, bool]:
        """`value` with what is known now put in, and whether nothing is left to evaluate."""
        if isinstance(value, str):
            return self._fold_text(value)
        if isinstance(value, Mapping):
            members = {key: self._fold(item) for key, item in value.items()}
            is_known = all(known for _, known in members.values())
            return {key: _beside(*member, is_known) for key, member in members.items()}, is_known
        if isinstance(value, Sequence):
            items = [self._fold(item) for item in value]
            is_known = all(known for _, known in items)
            return [_beside(*item, is_known) for item in items], is_known
        return value, True

    def _fold_text(self, text: str) -> tuple[Json, bool]:
        if not expressions.has_expression(text):
            return text, True
        try:
            template = expressions.parse_template(self._with_names(text))
            if template.is_known_with(self.builder.known):
                return expressions.evaluate_template(template, self.builder.known), True
            template = expressions.partially_evaluate(template, self.builder.known)
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
            gathers = self.builder.gathers
            named = named_item(text, gathers[-1]) if gathers else text
            folded = expressions.partially_evaluate(expressions.parse(named), self.builder.known)
        except ExpressionError as error:
            self.problem(f"{error.message} in `if`", error.hint)
            return text
        self._refer(folded.references)
        return folded.text

    def named(self, condition: str) -> str | None:
        """A condition with `item` under the name of its gather; None where it cannot be read, which `condition` reports."""
        try:
            gathers = self.builder.gathers
            return named_item(condition, gathers[-1]) if gathers else condition
        except ExpressionError:
            return None

    def is_known_but_no_boolean(self, condition: str) -> bool:
        """Whether a condition as `condition` gave it has a value already, and one that is neither true nor false."""
        try:
            parsed = expressions.parse(condition, rendered=True)
            return parsed.is_known and not isinstance(expressions.evaluate(parsed, {}), bool)
        except ExpressionError:
            return False

    def text(self, name: str, text: str) -> str | None:
        """A text that decides how the node is run, as a template in which nothing but items may be open."""
        slot = self.slot(name, text)
        match slot:
            case Immediate(value):
                return expressions.plain_template(expressions.to_text(value))
            case Proxy():
                return proxy_text(slot)
            case Computed(expression) if not self.promised:
                return str(expression)
        self.problem(f"`{name}` of `{self.node_id}` has to be known when planned")
        return None

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

    def _with_names(self, text: str) -> str:
        gathers = self.builder.gathers
        return named_items(text, gathers[-1]) if gathers else text

    def _whole_reference(self, value: Json) -> Promise | Proxy | None:
        """What `${{ steps.a.outputs.b }}` or `${{ item }}` alone amounts to; None for anything else."""
        if not isinstance(value, str) or not expressions.has_expression(value):
            return None
        try:
            single = expressions.parse_template(self._with_names(value)).single
        except ExpressionError:
            return None
        if single is None or len(single.references) != 1 or single.references[0].width != len(single.text):
            return None
        proxy = _proxy(single.references[0])
        if proxy is not None:
            return proxy if self._is_enclosing(proxy.gather) else None
        producer, rest = self._producer(single.references[0])
        return Promise(producer, rest) if producer is not None and rest is not None else None

    def _producer(self, reference: Reference) -> tuple[str | None, str | None]:
        """The node and output that a reference names exactly, or None for what it leaves open."""
        match reference.path:
            case ("steps", str(step), "outputs", str(output)):
                return self.builder.step_id(step), output
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
                    self._promise(self.builder.step_id(step))
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
                case ("items", str(gather), *_) if self._is_enclosing(gather):
                    continue
                case ("item" | "items", *_):
                    self._not_enclosed(reference)
                case ("steps" | "stages", *_):
                    self.problem("name the step: `steps.<id>` or `stages.<id>`, so that the edge is known when planned")

    def _is_enclosing(self, gather: str) -> bool:
        return gather in self.builder.gathers

    def _not_enclosed(self, reference: Reference) -> None:
        around = self.builder.gathers
        if reference.path[0] == "item" or len(reference.path) < 2:
            text = "there is no `item` outside a `gather`" if not around else "name the gather: `items.<id>`"
        else:
            text = f"no gather `{reference.path[1]}` encloses it"
        known = "enclosing gathers: " + ", ".join(f"`{name}`" for name in around) if around else ""
        self.problem(f"{text} (node `{self.node_id}`)", did_you_mean(str(reference.path[-1]), around) or known)

    def _promise(self, node: str) -> None:
        """Note the edge from `node` and, where it is another stage's, from that stage."""
        self.promised[node] = None
        stage = node.partition("/")[0]
        if stage != self.builder.stage.id:
            self.builder.stage_needs[stage] = None


def proxy_text(proxy: Proxy) -> str:
    """The template that comes to what the proxy stands for."""
    part = "" if proxy.field is None else "['" + proxy.field.replace("'", "''") + "']"
    return f"${{{{ items['{proxy.gather}']{part} }}}}"


def _proxy(reference: Reference) -> Proxy | None:
    """The proxy that a whole reference to an item, or to a field of it, amounts to."""
    match reference.path:
        case ("items", str(gather)):
            return Proxy(gather)
        case ("items", str(gather), str(field)):
            return Proxy(gather, field)
    return None


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


def _beside(value: Json, is_known: bool, is_all_known: bool) -> Json:
    """A folded member: beside one that is open it is read as a template again, and a `${{` in its value stays text."""
    if is_all_known or not is_known:
        return value
    if isinstance(value, str):
        return expressions.plain_template(value)
    if isinstance(value, Mapping):
        return {key: _beside(item, True, False) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_beside(item, True, False) for item in value]
    return value


def _shown(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
