"""Types of slot values: what fits, and what a value is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shipway.action import SlotType
from shipway.canonical import Json


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
