"""How the text of an expression becomes a tree. Evaluates nothing.

The grammar is that of the runner (github.com/actions/runner, `LexicalAnalyzer`, `ExpressionParser`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from enum import Enum, auto

from msgspec import Struct, field

from shipway.errors import did_you_mean
from shipway.expression_functions import FUNCTIONS, PURE_FUNCTIONS
from shipway.expression_tree import (
    NAME,
    PRECEDENCE,
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
)
from shipway.expression_values import WHITE_SPACE, Comparison, ExpressionError, Value, as_number, parse_number

MAX_LENGTH = 21_000
"""Characters of one expression. Source: `ExpressionConstants.MaxLength` of the runner."""

MAX_DEPTH = 50
"""Depth of one expression's tree; brackets for grouping and chains of one `&&` or `||` add none. Source: the same."""

_BOUNDARY = rf"(\[)\],.!><=&|{re.escape(WHITE_SPACE)}"
_KEYWORDS: dict[str, Value] = {"null": None, "true": True, "false": False, "NaN": math.nan, "Infinity": math.inf}
_OPERATOR = re.compile(r"&&|\|\||==|!=|<=|>=|[!<>]")
_STRING = re.compile(r"'((?:[^']|'')*)'")
_WORD = re.compile(rf".[^{_BOUNDARY}]*", re.DOTALL)
_NUMBER = re.compile(rf".(?:[^{_BOUNDARY}]|\.)*", re.DOTALL)
_SPACE = re.compile(f"[{re.escape(WHITE_SPACE)}]*")
_MARKS = "()[],.*"
_HINTS = {
    '"': "strings stand in single quotes",
    "=": "compare with `==`",
    "&": "combine with `&&`",
    "|": "combine with `||`",
    "*": "`*` stands behind a dot or alone in `[ ]`",
    "$": "write the whole expression inside one `${{ }}`",
    **dict.fromkeys("+-/%", "expressions have no arithmetic"),
}


class Names(Struct, frozen=True):
    """What may be named: `contexts`, and `functions` besides the pure ones; None where anything may."""

    contexts: Collection[str] | None = None
    functions: Collection[str] | None = None


def read_expression(text: str, start: int, end: int, names: Names, *, max_depth: int = MAX_DEPTH) -> Node:
    """The tree of `text[start:end]`; offsets, those of errors too, count from the start of `text`. Raises ExpressionError."""
    return _Reader(_read_tokens(text, start, end), names, max_depth).read()


def skip_space(text: str, start: int) -> int:
    """The offset of the first character from `start` on that is no white space."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


class _Kind(Enum):
    NAME = auto()
    LITERAL = auto()
    OPERATOR = auto()
    MARK = auto()
    END = auto()


class _Token(Struct, frozen=True):
    """What it is, its text as written, where it stands; `value` of a literal."""

    kind: _Kind
    text: str
    offset: int
    value: Value = None

    def is_mark(self, text: str) -> bool:
        return self.kind is _Kind.MARK and self.text == text


class _Operand(Struct, frozen=True):
    node: Node
    depth: int


class _Frame(Struct):
    """What is open: the whole text, a group, a call (`opener` is its name) or, with `target`, an index."""

    opener: _Token | None = None
    closing: str = ""
    is_call: bool = False
    target: _Operand | None = None
    operands: list[_Operand] = field(default_factory=list)
    operators: list[_Token] = field(default_factory=list)
    arguments: list[_Operand] = field(default_factory=list)


class _Reader:
    """Reads operands and operators in turn, with a stack of its own: no nesting is too deep for Python."""

    def __init__(self, tokens: Iterator[_Token], names: Names, max_depth: int) -> None:
        self._tokens = list(tokens)
        self._next = 0
        self._names = names
        self._max_depth = max_depth
        self._frames = [_Frame()]
        self._is_accessible = False

    def read(self) -> Node:
        expects_operand = True
        while True:
            token = self._take()
            if expects_operand:
                expects_operand = self._read_operand(token)
            elif token.kind is _Kind.END and len(self._frames) == 1:
                return self._reduced(self._frames[0]).node
            else:
                expects_operand = self._read_behind_operand(token)

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _read_operand(self, token: _Token) -> bool:
        """Whether an operand is still to come, because `token` only opens one."""
        frame = self._frames[-1]
        if token.kind is _Kind.NAME and self._peek().is_mark("("):
            return self._open_call(token)
        if token.is_mark("("):
            self._frames.append(_Frame(token, ")"))
            return True
        if token.kind is _Kind.OPERATOR and token.text == "!":
            frame.operators.append(token)
            return True
        if token.kind is _Kind.NAME and token.text not in _KEYWORDS:
            self._check_context(token)
            self._push(self._built(Context(token.text, token.offset)), accessible=True)
        elif token.kind in (_Kind.LITERAL, _Kind.NAME):
            value = _KEYWORDS[token.text] if token.kind is _Kind.NAME else token.value
            self._push(self._built(Literal(value)), accessible=False)
        else:
            raise _unexpected(token)
        return False

    def _read_behind_operand(self, token: _Token) -> bool:
        """Whether an operand is to come behind `token`."""
        frame = self._frames[-1]
        if token.is_mark(".") and self._is_accessible:
            self._read_property()
            return False
        if token.is_mark("[") and self._is_accessible:
            return self._open_index(token)
        if frame.closing and token.is_mark(frame.closing):
            self._close(token)
            return False
        if token.is_mark(",") and frame.is_call:
            frame.arguments.append(self._reduced(frame))
            return True
        if token.kind is _Kind.OPERATOR and token.text != "!":
            self._reduce(frame, PRECEDENCE[token.text])
            frame.operators.append(token)
            return True
        raise _unexpected(token)

    def _open_call(self, name: _Token) -> bool:
        self._check_function(name)
        self._frames.append(_Frame(name, ")", is_call=True))
        self._take()
        if not self._peek().is_mark(")"):
            return True
        self._close_call(self._frames.pop())
        self._take()
        return False

    def _open_index(self, opener: _Token) -> bool:
        target = self._frames[-1].operands.pop()
        if not self._peek().is_mark("*"):
            self._frames.append(_Frame(opener, "]", target=target))
            return True
        self._take()
        closing = self._take()
        if not closing.is_mark("]"):
            raise _unexpected(closing)
        self._push_index(target, self._built(Wildcard()), closing)
        return False

    def _read_property(self) -> None:
        target, token = self._frames[-1].operands.pop(), self._take()
        if token.is_mark("*"):
            self._push_index(target, self._built(Wildcard()), token)
        elif token.kind is _Kind.NAME:
            self._push_index(target, self._built(Literal(token.text)), token)
        else:
            raise _unexpected(token)

    def _close(self, closing: _Token) -> None:
        frame = self._frames.pop()
        operand = self._reduced(frame)
        if frame.is_call:
            frame.arguments.append(operand)
            self._close_call(frame)
        elif frame.target is not None:
            self._push_index(frame.target, operand, closing)
        else:
            self._push(operand, accessible=True)

    def _close_call(self, frame: _Frame) -> None:
        name = frame.opener
        assert name is not None, "a call is opened by its name"
        _check_count(name, len(frame.arguments))
        arguments = tuple(argument.node for argument in frame.arguments)
        self._push(self._built(Call(name.text, arguments, name.offset), *frame.arguments), accessible=True)

    def _push_index(self, target: _Operand, key: _Operand, last: _Token) -> None:
        end = last.offset + len(last.text)
        self._push(self._built(Index(target.node, key.node, end), target, key), accessible=True)

    def _push(self, operand: _Operand, *, accessible: bool) -> None:
        self._frames[-1].operands.append(operand)
        self._is_accessible = accessible

    def _reduced(self, frame: _Frame) -> _Operand:
        self._reduce(frame, 0)
        return frame.operands.pop()

    def _reduce(self, frame: _Frame, precedence: int) -> None:
        """Applies the waiting operators that bind at least as strongly as `precedence`."""
        while frame.operators and PRECEDENCE[frame.operators[-1].text] >= precedence:
            operator, right = frame.operators.pop().text, frame.operands.pop()
            if operator == "!":
                frame.operands.append(self._built(Not(right.node), right))
                continue
            left = frame.operands.pop()
            if operator in ("&&", "||"):
                frame.operands.append(self._chained(LogicOperator(operator), left, right))
            else:
                node = Compare(Comparison(operator), left.node, right.node)
                frame.operands.append(self._built(node, left, right))

    def _chained(self, operator: LogicOperator, *operands: _Operand) -> _Operand:
        """Nested chains of one operator become one, as the runner does, so that a long chain is not a deep one."""
        nodes: list[Node] = []
        under: list[_Operand] = []
        for operand in operands:
            if isinstance(operand.node, Logic) and operand.node.operator is operator:
                nodes += operand.node.operands
                under.append(_Operand(operand.node, operand.depth - 1))
            else:
                nodes.append(operand.node)
                under.append(operand)
        return self._built(Logic(operator, tuple(nodes)), *under)

    def _built(self, node: Node, *under: _Operand) -> _Operand:
        depth = 1 + max((operand.depth for operand in under), default=0)
        if depth > self._max_depth:
            offset = self._tokens[self._next - 1].offset
            raise ExpressionError(f"the expression is nested deeper than {self._max_depth}", offset=offset)
        return _Operand(node, depth)

    def _check_context(self, token: _Token) -> None:
        known = self._names.contexts
        if known is not None and token.text.lower() not in {name.lower() for name in known}:
            hint = did_you_mean(token.text.lower(), known) or _listed("known here", known)
            raise ExpressionError(
                f"unknown context `{token.text}`", offset=token.offset, width=len(token.text), hint=hint
            )

    def _check_function(self, token: _Token) -> None:
        if self._names.functions is None:
            return
        known = {name: FUNCTIONS[name].spelling for name in PURE_FUNCTIONS}
        known |= {name.lower(): name for name in self._names.functions}
        if token.text.lower() not in known:
            hint = did_you_mean(token.text, known.values()) or _listed("known here", known.values())
            raise ExpressionError(
                f"unknown function `{token.text}`", offset=token.offset, width=len(token.text), hint=hint
            )


def _check_count(name: _Token, count: int) -> None:
    function = FUNCTIONS.get(name.text.lower())
    if function is None:
        return
    problem = ""
    if not function.least <= count <= function.most:
        bound = function.least if count < function.least else function.most
        extent = "" if function.least == function.most else "at least " if count < function.least else "at most "
        problem = f"takes {extent}{bound} argument{'' if bound == 1 else 's'}, not {count}"
    elif function.spelling == "case" and count % 2 == 0:
        problem = f"takes pairs of condition and value and then a default, so an odd number of arguments, not {count}"
    if problem:
        raise ExpressionError(f"`{function.spelling}` {problem}", offset=name.offset, width=len(name.text))


def _listed(title: str, names: Collection[str]) -> str:
    return f"{title}: {', '.join(f'`{name}`' for name in sorted(names))}" if names else ""


def _unexpected(token: _Token) -> ExpressionError:
    if token.kind is _Kind.END:
        return ExpressionError("the expression ends too early", offset=token.offset)
    hint = _HINTS.get(token.text[0], "")
    return ExpressionError(f"unexpected `{token.text}`", offset=token.offset, width=len(token.text), hint=hint)


def _read_tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    """The tokens of `text[start:end]`, the last one END. A dot begins a number where an operand is to come."""
    last = _Token(_Kind.END, "", start)
    at = skip_space(text, start)
    while at < end:
        last = _read_token(text, at, end, last)
        yield last
        at = skip_space(text, at + len(last.text))
    yield _Token(_Kind.END, "", end)


def _read_token(text: str, at: int, end: int, last: _Token) -> _Token:
    first = text[at]
    if first in "+-0123456789" or (first == "." and _expects_operand(last)):
        return _read_number(text, at, end)
    if first in _MARKS:
        return _Token(_Kind.MARK, first, at)
    if first == "'":
        return _read_string(text, at, end)
    operator = _OPERATOR.match(text, at, end)
    if operator:
        return _Token(_Kind.OPERATOR, operator[0], at)
    return _read_name(text, at, end)


def _expects_operand(last: _Token) -> bool:
    if last.kind is _Kind.MARK:
        return last.text in ("(", "[", ",")
    return last.kind in (_Kind.OPERATOR, _Kind.END)


def _read_number(text: str, at: int, end: int) -> _Token:
    written = _matched(_NUMBER, text, at, end)
    number = parse_number(written)
    token = _Token(_Kind.LITERAL, written, at, as_number(number))
    if math.isnan(number):
        raise _unexpected(token)
    return token


def _read_string(text: str, at: int, end: int) -> _Token:
    found = _STRING.match(text, at, end)
    if not found:
        hint = "close it with a single quote; one inside it is written twice"
        raise ExpressionError("the string does not end", offset=at, width=end - at, hint=hint)
    return _Token(_Kind.LITERAL, found[0], at, found[1].replace("''", "'"))


def _read_name(text: str, at: int, end: int) -> _Token:
    token = _Token(_Kind.NAME, _matched(_WORD, text, at, end), at)
    if not NAME.fullmatch(token.text):
        raise _unexpected(token)
    return token


def _matched(pattern: re.Pattern[str], text: str, at: int, end: int) -> str:
    found = pattern.match(text, at, end)
    return found[0] if found else text[at]
