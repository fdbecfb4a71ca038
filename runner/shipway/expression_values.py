"""How values of GitHub's expression language become numbers, text and JSON, and compare. Knows no syntax, no context.

The rules are those of the runner (github.com/actions/runner, `EvaluationResult`, `ExpressionUtility`); docs/expressions.md
lists where GitHub's JavaScript package differs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from shipway.canonical import json_fault

Value: TypeAlias = "None | bool | int | float | str | Sequence[Value] | Mapping[str, Value]"
"""A JSON value. All numbers behave as IEEE doubles; an `int` is only how a whole one is held."""

MAX_RESULT = 10 * 1024 * 1024
"""The longest text, in characters, that a call may make: nested `format` would double without end."""

MAX_JSON_DEPTH = 64
"""How deep `fromJSON` reads. Source: the default of Newtonsoft.Json 13, with which the runner reads."""

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""What `Char.IsWhiteSpace` of .NET holds to be white space; `str.strip()` would take U+001C to U+001F too."""

_WHOLE_LIMIT = 2**53
_SIGNIFICANT_DIGITS = 15
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = re.compile(r"[+-]?infinity", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"0o[0-7]+")
_JSON_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)  # an open string too is taken in one go
_JSON_ESCAPES = {
    **{code: f"\\u{code:04x}" for code in (*range(0x20), 0x85, 0x2028, 0x2029)},
    **{
        ord(raw): escaped
        for raw, escaped in zip('"\\\b\f\n\r\t', ('\\"', "\\\\", "\\b", "\\f", "\\n", "\\r", "\\t"), strict=True)
    },
}


class ExpressionError(ValueError):
    """An expression that cannot be read or evaluated.

    `message` is lower case and carries no position; `offset` counts code points from 0 in the text that was parsed and
    `width` is how many are meant; `hint` is what to do, empty where nothing is sure.
    """

    def __init__(self, message: str, *, offset: int = 0, width: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.width = width
        self.hint = hint


class Unworkable(Exception):
    """A call that has no value; whoever knows where the call stands makes an ExpressionError of it."""


class FilteredList(list["Value"]):
    """What `*` gives: an index on it is applied to each member, and members without it are left out."""


class Comparison(Enum):
    """The six comparing operators, as written."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class _Kind(Enum):
    NULL = "Null"
    BOOLEAN = "Boolean"
    NUMBER = "Number"
    STRING = "String"
    ARRAY = "Array"
    OBJECT = "Object"


_Pair: TypeAlias = "tuple[_Kind, Value, Value] | None"


def _kind(value: Value) -> _Kind:
    if value is None:
        return _Kind.NULL
    if isinstance(value, bool):
        return _Kind.BOOLEAN
    if isinstance(value, (int, float)):
        return _Kind.NUMBER
    if isinstance(value, str):
        return _Kind.STRING
    return _Kind.OBJECT if isinstance(value, Mapping) else _Kind.ARRAY


def is_scalar(value: Value) -> bool:
    """Whether `value` is null, a boolean, a number or a string."""
    return value is None or isinstance(value, (bool, int, float, str))


def truthy(value: Value) -> bool:
    """Whether `value` counts as true: everything but null, false, 0, NaN and the empty string; empty lists do count."""
    if isinstance(value, float) and math.isnan(value):
        return False
    return bool(value) if is_scalar(value) else True


def to_text(value: Value) -> str:
    """`value` as GitHub puts it into text: null is empty, numbers have 15 digits at most, others `Array` and `Object`."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number_text(_double(value))
    return _kind(value).value


def to_number(value: Value) -> float:
    """`value` as a double: null is 0, text that is no number is NaN, and so are lists and objects."""
    if value is None:
        return 0.0
    if isinstance(value, (bool, int, float)):
        return _double(value)
    return parse_number(value) if isinstance(value, str) else math.nan


def parse_number(text: str) -> float:
    """The double that `text` spells, NaN where it spells none; empty is 0, `0x` and `0o` are 32-bit two's complement."""
    text = text.strip(WHITE_SPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    for pattern, base in ((_HEXADECIMAL, 16), (_OCTAL, 8)):
        if pattern.fullmatch(text):
            return _signed_32_bit(int(text[2:], base))
    return math.nan


def as_number(number: float) -> int | float:
    """`number` as it is kept: an `int` where it is whole and exact, so that documents hold no needless floats."""
    return int(number) if abs(number) < _WHOLE_LIMIT and number == int(number) else number


def loosely_equal(a: Value, b: Value) -> bool:
    """`a == b` as GitHub has it: kinds are brought together by number, text ignores case, lists equal only themselves."""
    pair = _alike(a, b)
    if pair is None:
        return False
    kind, left, right = pair
    if kind is _Kind.STRING:
        return fold_case(str(left)) == fold_case(str(right))
    if kind in (_Kind.ARRAY, _Kind.OBJECT):
        return left is right
    return left == right


def compare(operator: Comparison, a: Value, b: Value) -> bool:
    """`a operator b`. Where the kinds cannot be brought together, and for NaN, null, lists and objects, no order holds."""
    match operator:
        case Comparison.EQUAL:
            return loosely_equal(a, b)
        case Comparison.NOT_EQUAL:
            return not loosely_equal(a, b)
        case Comparison.LESS:
            return _less(a, b)
        case Comparison.GREATER:
            return _less(b, a)
        case Comparison.LESS_OR_EQUAL:
            return loosely_equal(a, b) or _less(a, b)
        case Comparison.GREATER_OR_EQUAL:
            return loosely_equal(a, b) or _less(b, a)


def fold_case(text: str) -> str:
    """`text` in the upper case by which GitHub compares: character by character, so `ß`, `ı` and `ſ` stay as they are.

    Source: `StringComparison.OrdinalIgnoreCase` of .NET, its `pal_casing.c`.
    """
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def find_name(mapping: Mapping[str, Value], name: str) -> str | None:
    """The key of `mapping` that `name` means: the exact spelling, else the first in any case, None where there is none."""
    if name in mapping:
        return name
    folded = fold_case(name)
    return next((key for key in mapping if fold_case(key) == folded), None)


def pretty_json(value: Value) -> str:
    """`value` as `toJSON` prints it: two spaces, a space behind the colon, numbers as in text. Raises Unworkable."""
    return _written_json(value, to_text, indent="  ")


def compact_json(value: Value) -> str:
    """`value` on one line, its numbers exact, so that `read_json` gives it back. Raises Unworkable where it cannot."""
    text = _written_json(value, _exact_number, indent="")
    _check_nesting(text)
    return text


def read_json(text: str) -> Value:
    """What the JSON `text` says, by RFC 8259; of equal keys the last counts, keys that differ in case stay apart.

    Raises Unworkable for anything that is not JSON, and for what is nested deeper than MAX_JSON_DEPTH.
    """
    _check_nesting(text)
    try:
        value: Value = json.loads(
            text,
            parse_int=_json_number,
            parse_float=_json_number,
            parse_constant=_refused_constant,
        )
    except json.JSONDecodeError as error:
        raise Unworkable(f"not JSON: {json_fault(error)}") from error
    return value


def exact_text(number: int | float) -> str:
    """`number` with as many digits as it takes to read the same double again, in the language's own spelling."""
    double = _double(number)
    if math.isnan(double):
        return "NaN"
    if math.isinf(double):
        return "Infinity" if double > 0 else "-Infinity"
    return repr(as_number(double))


def bounded(pieces: Iterable[str], separator: str = "") -> str:
    """`pieces` joined; raises Unworkable, before anything is joined, where that were longer than MAX_RESULT."""
    kept: list[str] = []
    length = -len(separator)
    for piece in pieces:
        length += len(piece) + len(separator)
        if length > MAX_RESULT:
            raise Unworkable(f"the result is longer than {MAX_RESULT} characters")
        kept.append(piece)
    return separator.join(kept)


def _double(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _signed_32_bit(number: int) -> float:
    if number >= 2**32:
        return math.nan
    return float(number - 2**32 if number >= 2**31 else number)


def _number_text(number: float) -> str:
    """The format `G15` of .NET: 15 significant digits, scientific from 1E+15 up and below 0.0001; zero has no sign."""
    if math.isnan(number) or math.isinf(number) or number == 0:
        return "0" if number == 0 else exact_text(number)
    mantissa, _, power = f"{abs(number):.{_SIGNIFICANT_DIGITS - 1}e}".partition("e")
    digits, exponent = mantissa.replace(".", "").rstrip("0"), int(power)
    sign = "-" if number < 0 else ""
    if exponent >= _SIGNIFICANT_DIGITS or exponent <= -5:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}E{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _alike(a: Value, b: Value) -> _Pair:
    """Both values brought to one kind, as JavaScript's `==` does but never a list or object; None where they cannot be."""
    left, right = _kind(a), _kind(b)
    if left is right:
        return (
            (left, _double(a), _double(b))
            if isinstance(a, float | int) and isinstance(b, float | int)
            else (left, a, b)
        )
    if {left, right} & {_Kind.ARRAY, _Kind.OBJECT}:
        return None
    return _Kind.NUMBER, to_number(a), to_number(b)


def _less(a: Value, b: Value) -> bool:
    pair = _alike(a, b)
    if pair is None:
        return False
    kind, left, right = pair
    if kind is _Kind.STRING:
        return _utf_16(str(left)) < _utf_16(str(right))
    if kind in (_Kind.NUMBER, _Kind.BOOLEAN):
        return to_number(left) < to_number(right)
    return False


def _utf_16(text: str) -> bytes:
    """What .NET orders by: code units, which put a character beyond U+FFFF before U+E000."""
    return fold_case(text).encode("utf-16-be", "surrogatepass")


@lru_cache(maxsize=4096)
def _upper(character: str) -> str:
    """The simple upper case of Unicode, which Python gives only where upper or title case is one character."""
    if character in "ıſ":
        return character
    upper, title = character.upper(), character.title()
    if len(upper) == 1:
        return upper
    return title if len(title) == 1 else character


def _written_json(value: Value, number: Callable[[int | float], str], *, indent: str) -> str:
    try:
        return bounded(_json_pieces(value, number, indent, "\n" if indent else ""))
    except RecursionError as error:
        raise Unworkable("the value is nested too deep to be written as JSON") from error


def _json_pieces(value: Value, number: Callable[[int | float], str], indent: str, line: str) -> Iterable[str]:
    """`line` is the line break with the indentation of `value`, empty where all stands on one line."""
    if value is None or isinstance(value, bool):
        yield "null" if value is None else to_text(value)
    elif isinstance(value, (int, float)):
        yield number(value)
    elif isinstance(value, str):
        yield _quoted(value)
    elif isinstance(value, Mapping):
        colon = ": " if indent else ":"
        members = ((_quoted(key) + colon, member) for key, member in value.items())
        yield from _json_members(members, ("{", "}"), number, indent, line)
    else:
        yield from _json_members((("", member) for member in value), ("[", "]"), number, indent, line)


def _json_members(
    members: Iterable[tuple[str, Value]],
    brackets: tuple[str, str],
    number: Callable[[int | float], str],
    indent: str,
    line: str,
) -> Iterable[str]:
    before = brackets[0]
    inner = line + indent
    for prefix, member in members:
        yield f"{before}{inner}{prefix}"
        yield from _json_pieces(member, number, indent, inner)
        before = ","
    yield f"{line}{brackets[1]}" if before == "," else "".join(brackets)


def _quoted(text: str) -> str:
    return f'"{text.translate(_JSON_ESCAPES)}"'


def _exact_number(number: int | float) -> str:
    double = _double(number)
    if math.isnan(double):
        raise Unworkable("NaN inside a list or object cannot be written as JSON")
    if math.isinf(double):
        return "1e999" if double > 0 else "-1e999"
    return exact_text(double)


def _check_nesting(text: str) -> None:
    depth = 0
    for token in _JSON_NESTING.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        if depth > MAX_JSON_DEPTH:
            raise Unworkable(f"the JSON is nested deeper than {MAX_JSON_DEPTH}")


def _json_number(text: str) -> int | float:
    return as_number(float(text))


def _refused_constant(name: str) -> Value:
    raise Unworkable(f"not JSON: `{name}` is no JSON number")
