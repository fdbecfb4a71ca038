"""The items of gathers in expressions: `item` is given the name of its gather, and later a value. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from shipway import expressions
from shipway.canonical import Json
from shipway.expression_tree import Call, Compare, Context, Index, Literal, Logic, Node, Not
from shipway.expressions import Reference
from shipway.nodes import Computed, Immediate, Proxy, Slot

ITEM, ITEMS = "item", "items"
"""The contexts of the nearest gather, and of all that enclose, by name."""


def named_items(text: str, gather: str) -> str:
    """The template `text` with `item` written as `items.<gather>`. Raises ExpressionError."""
    if ITEM not in text.lower() or not expressions.has_expression(text):
        return text
    return expressions.change_template(expressions.parse_template(text), lambda node: _named(node, gather)).text


def named_item(condition: str, gather: str) -> str:
    """The condition with `item` written as `items.<gather>`. Raises ExpressionError."""
    if ITEM not in condition.lower():
        return condition
    return expressions.change(expressions.parse(condition), lambda node: _named(node, gather)).text


def names_item(condition: str, gather: str) -> bool:
    """Whether a condition, as it stands in a node, refers to the item of `gather`."""
    if ITEMS not in condition:
        return False
    return any(gather_of(reference) == gather for reference in expressions.parse(condition, rendered=True).references)


def gather_of(reference: Reference) -> str | None:
    """The gather whose item a reference names; None for any other reference."""
    name = reference.path[1] if reference.path[0] == ITEMS and len(reference.path) > 1 else None
    return str(name) if name is not None else None


def with_item(slot: Slot, gather: str, item: Json) -> Slot:
    """The slot with the item of `gather` put in: a value where nothing else is left open. Raises ExpressionError."""
    match slot:
        case Proxy(name) if name == gather:
            return Immediate(slot.of(item))
        case Computed(expression):
            template, value, is_open = _filled(expression, gather, item)
            return Computed(template) if is_open else Immediate(value)
    return slot


def text_with_item(text: str, gather: str, item: Json) -> str:
    """The template `text` with the item of `gather` put in, still a template. Raises ExpressionError."""
    template, _, _ = _filled_text(text, gather, item)
    return str(template)


def condition_with_item(condition: str, gather: str, item: Json) -> str:
    """The condition with the item of `gather` put in. Raises ExpressionError."""
    if not names_item(condition, gather):
        return condition
    parsed = expressions.parse(condition, rendered=True)
    return expressions.change(parsed, lambda node: _put(node, gather, item), folds=True).text


def _filled(value: Json, gather: str, item: Json) -> tuple[Json, Json, bool]:
    """`value` with the item put in, still as template texts; what it comes to; and whether something is left open.

    The two are kept apart so that no text of an item is ever read as an expression.
    """
    if isinstance(value, str):
        return _filled_text(value, gather, item)
    if isinstance(value, Mapping):
        members = {key: _filled(inner, gather, item) for key, inner in value.items()}
        is_open = any(found[2] for found in members.values())
        return {key: found[0] for key, found in members.items()}, {k: found[1] for k, found in members.items()}, is_open
    if isinstance(value, Sequence):
        parts = [_filled(inner, gather, item) for inner in value]
        return [found[0] for found in parts], [found[1] for found in parts], any(found[2] for found in parts)
    return value, value, False


def _filled_text(text: str, gather: str, item: Json) -> tuple[Json, Json, bool]:
    if not expressions.has_expression(text):
        return text, text, False
    parsed = expressions.parse_template(text, rendered=True)
    if any(gather_of(reference) == gather for reference in parsed.references):
        parsed = expressions.change_template(parsed, lambda node: _put(node, gather, item), folds=True)
    if not parsed.is_known:
        return parsed.text, None, True
    return parsed.text, expressions.evaluate_template(parsed, {}), False


def _named(node: Node, gather: str) -> Node:
    def change(here: Node) -> Node | None:
        if isinstance(here, Context) and here.name.lower() == ITEM:
            return Index(Context(ITEMS, here.offset), Literal(gather), here.offset)
        return None

    return _changed(node, change)


def _put(node: Node, gather: str, item: Json) -> Node:
    def change(here: Node) -> Node | None:
        if isinstance(here, Index) and isinstance(here.target, Context) and here.target.name.lower() == ITEMS:
            return Literal(item) if isinstance(here.key, Literal) and here.key.value == gather else here
        return None

    return _changed(node, change)


def _changed(node: Node, change: Callable[[Node], Node | None]) -> Node:
    found = change(node)
    if found is not None:
        return found
    match node:
        case Index():
            return replace(node, target=_changed(node.target, change), key=_changed(node.key, change))
        case Not():
            return replace(node, operand=_changed(node.operand, change))
        case Compare():
            return replace(node, left=_changed(node.left, change), right=_changed(node.right, change))
        case Logic():
            return replace(node, operands=tuple(_changed(operand, change) for operand in node.operands))
        case Call():
            return replace(node, arguments=tuple(_changed(argument, change) for argument in node.arguments))
    return node
