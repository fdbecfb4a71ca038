"""The functions that every expression may call: names, counts of arguments, results. Knows no context and reads no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from shipway.expression_values import (
    Unworkable,
    Value,
    bounded,
    fold_case,
    is_scalar,
    loosely_equal,
    pretty_json,
    read_json,
    to_text,
)

STATUS_FUNCTIONS = frozenset({"success", "failure", "always", "cancelled"})
"""They ask how the run stands; an `if` that calls none of them means `success() && (…)`."""

HASH_FUNCTION = "hashfiles"

_MANY = 255
_FORMAT_PART = re.compile(r"\{\{|\}\}|\{([0-9]+)\}|[{}]")


class Arguments:
    """The arguments of one call, each worked out when it is first asked for, as the runner does: an unused one cannot fail."""

    __slots__ = ("_known", "_work", "count")

    def __init__(self, count: int, work: Callable[[int], Value]) -> None:
        self.count = count
        self._work = work
        self._known: dict[int, Value] = {}

    def __getitem__(self, index: int) -> Value:
        if index not in self._known:
            self._known[index] = self._work(index)
        return self._known[index]


class Function(Struct, frozen=True):
    """A function's spelling and how many arguments it takes; `apply` is None for those that the caller brings."""

    spelling: str
    least: int
    most: int
    apply: Callable[[Arguments], Value] | None = None


def _contains(arguments: Arguments) -> bool:
    searched = arguments[0]
    if is_scalar(searched):
        item = arguments[1]
        return is_scalar(item) and fold_case(to_text(item)) in fold_case(to_text(searched))
    if isinstance(searched, Sequence) and searched:
        return any(loosely_equal(arguments[1], member) for member in searched)
    return False


def _starts_with(arguments: Arguments) -> bool:
    return _is_affix(arguments, str.startswith)


def _ends_with(arguments: Arguments) -> bool:
    return _is_affix(arguments, str.endswith)


def _is_affix(arguments: Arguments, test: Callable[[str, str], bool]) -> bool:
    if not is_scalar(arguments[0]) or not is_scalar(arguments[1]):
        return False
    return test(fold_case(to_text(arguments[0])), fold_case(to_text(arguments[1])))


def _format(arguments: Arguments) -> str:
    template = to_text(arguments[0])
    pieces: list[str | int] = []
    end = 0
    for part in _FORMAT_PART.finditer(template):
        pieces += [template[end : part.start()], _format_piece(template, part, arguments.count - 1)]
        end = part.end()
    pieces.append(template[end:])
    return bounded(piece if isinstance(piece, str) else to_text(arguments[piece]) for piece in pieces)


def _format_piece(template: str, part: re.Match[str], given: int) -> str | int:
    """The brace that `part` escapes, or the number of the argument that it stands for."""
    if part[0] in ("{{", "}}"):
        return part[0][0]
    digits = (part[1] or "").lstrip("0")
    if part[1] is None or len(digits) > 3 or int(digits or "0") > _MANY:
        raise Unworkable(f"invalid format `{template}`: `{part[0]}` at character {part.start() + 1} is no `{{number}}`")
    index = int(digits or "0")
    if index >= given:
        raise Unworkable(f"format `{template}` asks for `{{{index}}}`, but has {given} to put in")
    return index + 1


def _join(arguments: Arguments) -> str:
    items = arguments[0]
    if is_scalar(items):
        return to_text(items)
    if not isinstance(items, Sequence) or not items:
        return ""
    separator = ","
    if arguments.count > 1 and len(items) > 1 and is_scalar(arguments[1]):
        separator = to_text(arguments[1])
    return bounded((to_text(item) for item in items), separator)


def _to_json(arguments: Arguments) -> str:
    return pretty_json(arguments[0])


def _from_json(arguments: Arguments) -> Value:
    return read_json(to_text(arguments[0]))


def _case(arguments: Arguments) -> Value:
    for index in range(0, arguments.count - 1, 2):
        condition = arguments[index]
        if not isinstance(condition, bool):
            raise Unworkable(f"`case` wants true or false as argument {index + 1}, not `{to_text(condition)}`")
        if condition:
            return arguments[index + 1]
    return arguments[arguments.count - 1]


_FUNCTIONS = (
    Function("contains", 2, 2, _contains),
    Function("startsWith", 2, 2, _starts_with),
    Function("endsWith", 2, 2, _ends_with),
    Function("format", 1, _MANY, _format),
    Function("join", 1, 2, _join),
    Function("toJSON", 1, 1, _to_json),
    Function("fromJSON", 1, 1, _from_json),
    Function("case", 3, _MANY, _case),
    Function("hashFiles", 1, _MANY),
    *(Function(name, 0, 0) for name in sorted(STATUS_FUNCTIONS)),
)

FUNCTIONS = {function.spelling.lower(): function for function in _FUNCTIONS}
"""Every function that Shipway knows, by its lower-case name."""

PURE_FUNCTIONS = frozenset(name for name, function in FUNCTIONS.items() if function.apply)
"""The lower-case names of those that need nothing but their arguments."""
