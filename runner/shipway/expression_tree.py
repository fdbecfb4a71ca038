"""The tree of an expression and how it is written as text. Reads no text and evaluates nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from shipway.expression_functions import FUNCTIONS
from shipway.expression_values import Comparison, FilteredList, Value, compact_json, exact_text, is_scalar


class LogicOperator(Enum):
    """`&&` and `||`."""

    AND = "&&"
    OR = "||"


class Literal(Struct, frozen=True):
    """A value; a list or object only where known contexts were put in, and then it is written as a `fromJSON` call."""

    value: Value


class Context(Struct, frozen=True):
    """The name that a reference begins with, as written."""

    name: str
    offset: int


class Wildcard(Struct, frozen=True):
    """The `*` of `a.*` and `a[*]`."""


class Index(Struct, frozen=True):
    """`target.key`, `target[key]` and, with a Wildcard, `target.*`; `end` is the offset behind it."""

    target: Node
    key: Node
    end: int


class Not(Struct, frozen=True):
    """`!operand`."""

    operand: Node


class Compare(Struct, frozen=True):
    """`left operator right`."""

    operator: Comparison
    left: Node
    right: Node


class Logic(Struct, frozen=True):
    """A chain of one `&&` or `||`, two operands or more, no operand a chain of the same."""

    operator: LogicOperator
    operands: tuple[Node, ...]


class Call(Struct, frozen=True):
    """A call; `name` as written, `offset` where it stands."""

    name: str
    arguments: tuple[Node, ...]
    offset: int


Node: TypeAlias = "Literal | Context | Wildcard | Index | Not | Compare | Logic | Call"


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly under `node`, in the order of the text."""
    match node:
        case Index():
            return node.target, node.key
        case Not():
            return (node.operand,)
        case Compare():
            return node.left, node.right
        case Logic():
            return node.operands
        case Call():
            return node.arguments
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """`node` and all under it, parents first, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*", re.ASCII)
"""What may be the name of a context, a function, or a property behind a dot."""

PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "!": 5}
"""How strongly each operator binds, from weak to strong; equals are taken from left to right."""

_ACCESS = 6


def render(node: Node) -> str:
    """The one canonical text of `node`: context names in lower case, functions in GitHub's spelling, no spare bracket."""
    match node:
        case Literal():
            return _render_literal(node.value)
        case Context():
            return node.name.lower()
        case Wildcard():
            return "*"
        case Index():
            return _render_within(node.target, _ACCESS) + _render_key(node.key)
        case Not():
            return "!" + _render_within(node.operand, PRECEDENCE["!"])
        case Compare():
            binding = PRECEDENCE[node.operator.value]
            left, right = _render_within(node.left, binding), _render_within(node.right, binding + 1)
            return f"{left} {node.operator.value} {right}"
        case Logic():
            binding = PRECEDENCE[node.operator.value] + 1
            return f" {node.operator.value} ".join(_render_within(operand, binding) for operand in node.operands)
        case Call():
            function = FUNCTIONS.get(node.name.lower())
            spelling = function.spelling if function else node.name.lower()
            return f"{spelling}({', '.join(map(render, node.arguments))})"


def _render_within(node: Node, binding: int) -> str:
    """`node` in brackets where it binds more weakly than `binding`."""
    return render(node) if _binding(node) >= binding else f"({render(node)})"


def _binding(node: Node) -> int:
    match node:
        case Not():
            return PRECEDENCE["!"]
        case Compare() | Logic():
            return PRECEDENCE[node.operator.value]
        case Literal():
            return _ACCESS - 1 if is_scalar(node.value) else _ACCESS
        case _:
            return _ACCESS


def _render_key(key: Node) -> str:
    if isinstance(key, Wildcard):
        return ".*"
    if isinstance(key, Literal) and isinstance(key.value, str) and NAME.fullmatch(key.value):
        return f".{key.value}"
    return f"[{render(key)}]"


def _render_literal(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return exact_text(value)
    if isinstance(value, str):
        return _quoted(value)
    written = f"fromJSON({_quoted(compact_json(value))})"
    return f"{written}.*" if isinstance(value, FilteredList) else written


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
