"""What templates become: one set of nodes for each item or emitted entry, under ids of its own. Pure; starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from shipway.action import SlotRule, SlotType
from shipway.canonical import Json, items_of, object_of
from shipway.expressions import ExpressionError, to_text
from shipway.items import condition_with_item, text_with_item, with_item
from shipway.node_ids import escaped, member_of, template_of
from shipway.nodes import Computed, Immediate, Need, Node, Promise, Proxy, Slot
from shipway.products import MAX_ITEMS, BadItems, check_keys, checked_key, items_from, key_by_value
from shipway.slot_types import fits, type_word

Rules = Callable[[str], Mapping[str, SlotRule]]
"""The slots that an action takes, by its name."""


class Emitted(Struct, frozen=True):
    """One entry that a node adds at run time: of which of its templates, under which key, with which values as `item`.

    `needs` are keys of other entries of the same node, or ids of nodes. JSON-safe, so that a journal can keep it.
    """

    template: str
    key: str
    values: Json = None
    needs: tuple[str, ...] = field(default=())

    def to_json(self) -> Json:
        """`{"step", "key", "values", "needs"}`."""
        return {"step": self.template, "key": self.key, "values": self.values, "needs": list(self.needs)}

    @staticmethod
    def from_json(data: Json) -> Emitted:
        """What `to_json` gave."""
        members = object_of(data)
        needs = tuple(str(need) for need in items_of(members["needs"]))
        return Emitted(str(members["step"]), str(members["key"]), members["values"], needs)


def entries_of(node: Node, inputs: Mapping[str, Json]) -> list[Emitted]:
    """One entry for each item of a gather whose slots have these values, in the order of the items. Raises BadItems."""
    assert node.gather is not None
    items = items_from(inputs)
    if node.gather.max and len(items) > node.gather.max:
        raise BadItems(f"there are {len(items)} items, and `max` is {node.gather.max}")
    keys = [checked_key(_key(node, item), item) for item in items]
    check_keys(keys, items)
    [template] = node.templates
    return [Emitted(template, key, item) for key, item in zip(keys, items, strict=True)]


def _key(node: Node, item: Json) -> str:
    assert node.gather is not None
    if node.gather.key is None:
        return key_by_value(item)
    try:
        found = with_item(Computed(node.gather.key), _name(node), item)
    except ExpressionError as error:
        raise BadItems(f"`key`: {error.message}") from error
    return escaped(to_text(found.value)) if isinstance(found, Immediate) else ""


def members(node: Node, entries: Sequence[Emitted], rules: Rules) -> list[Node]:
    """The nodes that the templates of `node` become for these entries, in their order; gathers whose items are known then
    with theirs. Raises BadItems where an expression of an item has no value, or there are too many nodes."""
    found: list[Node] = []
    templates = {name: _Template(node, nodes, rules) for name, nodes in node.templates.items()}
    for entry in entries:
        made = templates[entry.template].filled(entry)
        found += made
        if len(found) > MAX_ITEMS * 4:
            raise BadItems(f"more than {MAX_ITEMS * 4} nodes")
    return found


def expanded(node: Node, rules: Rules) -> list[Node]:
    """The node and, where it is a gather whose items are known, its members in place of its templates. Raises BadItems."""
    if node.gather is None or node.gather.keys is not None:
        return [node]
    if not all(type(slot) is Immediate for slot in node.slots.values()):
        return [node]
    inputs = {name: slot.value for name, slot in node.slots.items() if isinstance(slot, Immediate)}
    entries = entries_of(node, inputs)
    keys = tuple(entry.key for entry in entries)
    known = replace(node, gather=replace(node.gather, keys=keys), slots={}, templates={})
    return [known, *members(node, entries, rules)]


class _Template:
    """The nodes of one template, with what has to be filled in found beforehand: most of it is the same for every item."""

    def __init__(self, owner: Node, nodes: Sequence[Node], rules: Rules) -> None:
        self._owner = owner
        self._gather = _name(owner)
        self._prefix = template_of(owner.id)
        self._parts = [_Part(node, self._gather, self._prefix, rules(node.action)) for node in nodes]
        self._rules = rules

    def filled(self, entry: Emitted) -> list[Node]:
        prefix = member_of(self._owner.id, entry.key)
        found: list[Node] = []
        for part in self._parts:
            try:
                node = part.filled(prefix, entry.values)
            except ExpressionError as error:
                raise BadItems(f"`{part.node.id.replace(self._prefix, prefix, 1)}`: {error.message}") from error
            found += expanded(node, self._rules) if node.gather is not None else [node]
        return found


class _Part:
    """One node of a template. Slots without an item are shared by all nodes made of it."""

    def __init__(self, node: Node, gather: str, prefix: str, rules: Mapping[str, SlotRule]) -> None:
        self.node = node
        self._gather = gather
        self._prefix = prefix
        self._rules = rules
        self._slots = {name: slot for name, slot in node.slots.items() if self._varies(slot)}
        self._env = {name: slot for name, slot in node.env.items() if self._varies(slot)}
        self._moved = any(need.node.startswith(prefix) for need in node.needs)
        self._condition = node.condition if node.condition is not None and "items" in node.condition else None

    def _varies(self, slot: Slot) -> bool:
        if isinstance(slot, Promise):
            return slot.node.startswith(self._prefix)
        return isinstance(slot, (Computed, Proxy))

    def filled(self, prefix: str, item: Json) -> Node:
        node = self.node
        changes: dict[str, object] = {"id": self._renamed(node.id, prefix)}
        if self._slots:
            slots = {name: self._slot(slot, prefix, item) for name, slot in self._slots.items()}
            changes["slots"] = {**node.slots, **{name: self._text(name, slot) for name, slot in slots.items()}}
        if self._env:
            env = {name: self._slot(slot, prefix, item) for name, slot in self._env.items()}
            changes["env"] = {**node.env, **{name: _variable(slot) for name, slot in env.items()}}
        if self._moved:
            changes["needs"] = tuple(Need(self._renamed(need.node, prefix), need.kind) for need in node.needs)
        if self._condition is not None:
            changes["condition"] = condition_with_item(self._condition, self._gather, item)
        if node.dedup is not None:
            changes["dedup"] = text_with_item(node.dedup, self._gather, item)
        if node.gather is not None and node.gather.key is not None:
            changes["gather"] = replace(node.gather, key=text_with_item(node.gather.key, self._gather, item))
        if node.templates:
            changes["templates"] = {name: self._inner(nodes, prefix, item) for name, nodes in node.templates.items()}
        return replace(node, **changes)

    def _inner(self, nodes: Sequence[Node], prefix: str, item: Json) -> tuple[Node, ...]:
        """The templates of a node inside a template: its own items stay open."""
        return tuple(_Part(node, self._gather, self._prefix, {}).filled(prefix, item) for node in nodes)

    def _slot(self, slot: Slot, prefix: str, item: Json) -> Slot:
        if isinstance(slot, Promise):
            return Promise(self._renamed(slot.node, prefix), slot.output)
        return with_item(slot, self._gather, item)

    def _renamed(self, node: str, prefix: str) -> str:
        return prefix + node[len(self._prefix) :] if node.startswith(self._prefix) else node

    def _text(self, name: str, slot: Slot) -> Slot:
        """Where text is wanted an item that is a number is taken as its text; anything else has to be of the slot's type."""
        rule = self._rules.get(name)
        if rule is None or not isinstance(slot, Immediate) or fits(slot.value, rule.type):
            return slot
        if rule.type is SlotType.STRING and isinstance(slot.value, (bool, int, float)):
            return Immediate(to_text(slot.value))
        wrong = type_word(slot.value)
        raise BadItems(f"slot `{name}` of `{self.node.id}` takes a {rule.type.value}, not a {wrong}")


def _variable(slot: Slot) -> Slot:
    if isinstance(slot, Immediate) and not isinstance(slot.value, str):
        return Immediate(to_text(slot.value))
    return slot


def _name(node: Node) -> str:
    """What the items of a node are called in expressions: the last part of its id, without keys."""
    return node.id.rpartition("/")[2].partition("[")[0]
