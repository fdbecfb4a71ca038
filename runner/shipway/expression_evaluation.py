"""What the tree of an expression comes to, wholly or as far as some contexts are known. Reads no text, no file, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from shipway.errors import did_you_mean
from shipway.expression_functions import FUNCTIONS, PURE_FUNCTIONS, STATUS_FUNCTIONS, Arguments
from shipway.expression_tree import (
    Call,
    Compare,
    Context,
    Index,
    Literal,
    Logic,
    LogicOperator,
    Node,
    Not,
    Wildcard,
    children,
    walk,
)
from shipway.expression_values import (
    ExpressionError,
    FilteredList,
    Unworkable,
    Value,
    compare,
    find_name,
    is_scalar,
    to_number,
    to_text,
    truthy,
)

_LAST_INDEX = 2**31 - 1


class Evaluator:
    """Works out trees over `contexts`, with the caller's `functions` besides the pure ones."""

    def __init__(self, contexts: Mapping[str, Value], functions: Mapping[str, Callable[..., Value]]) -> None:
        self._contexts = contexts
        self._functions = functions

    def value(self, node: Node) -> Value:
        """What `node` comes to. Raises ExpressionError for a context or function that is not there and a call that fails."""
        match node:
            case Literal():
                return node.value
            case Context():
                return self._context(node)
            case Index():
                return self._index(node)
            case Not():
                return not truthy(self.value(node.operand))
            case Compare():
                return compare(node.operator, self.value(node.left), self.value(node.right))
            case Logic():
                return self._logic(node)
            case Call():
                return self._call(node)
            case Wildcard():
                raise AssertionError("`*` is read only as a key")

    def _context(self, node: Context) -> Value:
        if node.name.lower() in self._contexts:
            return self._contexts[node.name.lower()]
        for name in self._contexts:
            if name.lower() == node.name.lower():
                return self._contexts[name]
        raise ExpressionError(
            f"there is no context `{node.name}` here",
            offset=node.offset,
            width=len(node.name),
            hint=did_you_mean(node.name.lower(), self._contexts),
        )

    def _index(self, node: Index) -> Value:
        target = self.value(node.target)
        if isinstance(node.key, Wildcard):
            return _members(target)
        if is_scalar(target):
            return None
        return _member(target, self.value(node.key))

    def _logic(self, node: Logic) -> Value:
        value: Value = None
        for operand in node.operands:
            value = self.value(operand)
            if _decides(node.operator, value):
                break
        return value

    def _call(self, node: Call) -> Value:
        arguments = Arguments(len(node.arguments), lambda index: self.value(node.arguments[index]))
        function = FUNCTIONS.get(node.name.lower())
        try:
            if function and function.apply:
                return function.apply(arguments)
            return self._given(node)(*(arguments[index] for index in range(arguments.count)))
        except Unworkable as error:
            raise ExpressionError(str(error), offset=node.offset, width=len(node.name)) from error

    def _given(self, node: Call) -> Callable[..., Value]:
        for name, function in self._functions.items():
            if name.lower() == node.name.lower():
                return function
        raise ExpressionError(f"`{node.name}` cannot be called here", offset=node.offset, width=len(node.name))


def fold(node: Node, known: Mapping[str, Value]) -> Node:
    """`node` with everything worked out that needs only the contexts in `known`; a Literal where nothing is left open.

    What is left never names a context of `known`, and comes to the same value or error over the contexts that remain.
    Calls of status functions are never dropped, since they change what an `if` means. Raises ExpressionError where
    the whole has no value whatever the rest will be.
    """
    folded = _Folder(known).fold(node)
    if not isinstance(folded, Literal) and _is_closed(folded):
        return Literal(Evaluator({}, {}).value(folded))
    return folded


class _Folder:
    def __init__(self, known: Mapping[str, Value]) -> None:
        self._known = {name.lower() for name in known}
        self._evaluator = Evaluator(known, {})

    def fold(self, node: Node) -> Node:
        match node:
            case Literal() | Wildcard():
                return node
            case Context():
                return self._evaluated(node) if node.name.lower() in self._known else node
            case Index():
                return self._index(replace(node, target=self.fold(node.target), key=self.fold(node.key)))
            case Not():
                return self._if_literal(replace(node, operand=self.fold(node.operand)))
            case Compare():
                return self._if_literal(replace(node, left=self.fold(node.left), right=self.fold(node.right)))
            case Logic():
                return _shortened_logic(node.operator, [self.fold(operand) for operand in node.operands])
            case Call():
                return self._call(replace(node, arguments=tuple(map(self.fold, node.arguments))))

    def _evaluated(self, node: Node) -> Node:
        return Literal(self._evaluator.value(node))

    def _if_literal(self, node: Node) -> Node:
        return self._evaluated(node) if _all_known(children(node)) else node

    def _index(self, node: Index) -> Node:
        """Nothing is inside a scalar, whatever the key will be."""
        if isinstance(node.target, Literal) and is_scalar(node.target.value) and not _calls_status(node.key):
            return self._evaluated(replace(node, key=node.key if isinstance(node.key, Wildcard) else Literal(None)))
        return self._if_literal(node)

    def _call(self, node: Call) -> Node:
        name = node.name.lower()
        if name == "case":
            return _shortened_case(node)
        if name not in PURE_FUNCTIONS or not _all_known(node.arguments):
            return node
        try:
            return self._evaluated(node)
        except ExpressionError:
            # It may stand where it is never reached; if it is, it fails then as it would have without folding.
            return node


def _members(value: Value) -> FilteredList:
    if isinstance(value, FilteredList):
        return FilteredList(inner for member in value for inner in _members(member))
    if isinstance(value, Mapping):
        return FilteredList(value.values())
    return FilteredList() if is_scalar(value) or not isinstance(value, Sequence) else FilteredList(value)


def _member(target: Value, key: Value) -> Value:
    if isinstance(target, FilteredList):
        return FilteredList(_member(member, key) for member in target if _has_member(member, key))
    if isinstance(target, Mapping):
        name = find_name(target, to_text(key)) if is_scalar(key) else None
        return None if name is None else target[name]
    if isinstance(target, Sequence) and _has_member(target, key):
        return target[math.floor(to_number(key))]
    return None


def _has_member(target: Value, key: Value) -> bool:
    if isinstance(target, Mapping):
        return is_scalar(key) and find_name(target, to_text(key)) is not None
    if isinstance(target, str) or not isinstance(target, Sequence):
        return False
    number = to_number(key)
    return 0 <= number <= _LAST_INDEX and math.floor(number) < len(target)


def _decides(operator: LogicOperator, value: Value) -> bool:
    return truthy(value) == (operator is LogicOperator.OR)


def _shortened_logic(operator: LogicOperator, folded: Sequence[Node]) -> Node:
    """Known operands that pass the question on are left out, and so is what stands behind one that answers it."""
    operands = [part for node in folded for part in _chain_parts(operator, node)]
    kept: list[Node] = []
    for index, operand in enumerate(operands):
        behind = operands[index + 1 :]
        if isinstance(operand, Literal) and behind:
            if not _decides(operator, operand.value):
                continue
            if not any(map(_calls_status, behind)):
                kept.append(operand)
                break
        kept.append(operand)
    return kept[0] if len(kept) == 1 else Logic(operator, tuple(kept))


def _chain_parts(operator: LogicOperator, node: Node) -> tuple[Node, ...]:
    """A folded operand may have become a chain of the same operator, which a tree never holds in itself."""
    return node.operands if isinstance(node, Logic) and node.operator is operator else (node,)


def _shortened_case(node: Call) -> Node:
    """Pairs whose condition is known to be false are left out; one known to be true ends the call."""
    arguments = list(node.arguments)
    while len(arguments) > 1:
        condition = arguments[0]
        if not isinstance(condition, Literal) or not isinstance(condition.value, bool):
            break
        dropped = arguments[2:] if condition.value else arguments[1:2]
        if any(map(_calls_status, dropped)):
            break
        arguments = arguments[1:2] if condition.value else arguments[2:]
    return arguments[0] if len(arguments) == 1 else replace(node, arguments=tuple(arguments))


def _all_known(nodes: Collection[Node]) -> bool:
    return all(isinstance(node, (Literal, Wildcard)) for node in nodes)


def _calls_status(node: Node) -> bool:
    return any(isinstance(part, Call) and part.name.lower() in STATUS_FUNCTIONS for part in walk(node))


def _is_closed(node: Node) -> bool:
    """Whether `node` needs neither a context nor a function of the caller's."""
    return not any(
        isinstance(part, Context) or (isinstance(part, Call) and part.name.lower() not in PURE_FUNCTIONS)
        for part in walk(node)
    )
