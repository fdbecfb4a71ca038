"""GitHub's expression language: text with `${{ }}` in, values out. Pure: it reads no file, environment or clock.

What may be named where is the caller's to say; functions that ask the run or the disk are the caller's to bring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar, final

from msgspec import Struct

from shipway.expression_evaluation import Evaluator, fold
from shipway.expression_functions import PURE_FUNCTIONS, STATUS_FUNCTIONS
from shipway.expression_syntax import MAX_DEPTH, MAX_LENGTH, Names, read_expression, skip_space
from shipway.expression_tree import Call, Context, Index, Literal, Node, Wildcard, children, render
from shipway.expression_values import (
    WHITE_SPACE,
    ExpressionError,
    Unworkable,
    Value,
    as_number,
    bounded,
    is_scalar,
    loosely_equal,
    to_text,
    truthy,
)
from shipway.globs import match_glob

__all__ = [
    "Expression",
    "ExpressionError",
    "Reference",
    "Template",
    "Value",
    "change",
    "change_template",
    "evaluate",
    "evaluate_template",
    "has_expression",
    "hash_files",
    "loosely_equal",
    "parse",
    "parse_template",
    "partially_evaluate",
    "plain_template",
    "to_text",
    "truthy",
]

_OPEN, _CLOSE = "${{", "}}"
_ESCAPED_OPEN = "${{ '${{' }}"
_RENDERED_DEPTH = 2 * MAX_DEPTH
_NO_FUNCTIONS: Mapping[str, Callable[..., Value]] = MappingProxyType({})


class Reference(Struct, frozen=True):
    """One use of a context.

    `path` begins with the context's name in lower case (`name` is as written); then come properties as written and whole
    numbers, None for `*` and for an index that is itself worked out. `offset` and `width` count code points.
    """

    path: tuple[str | int | None, ...]
    name: str
    offset: int
    width: int


@final
class Expression(Struct, frozen=True):
    """An expression that was read. `text` is the source, or after `partially_evaluate` the canonical text.

    `references` are in the order of the text; `functions` are the lower-case names of all calls.
    """

    text: str
    references: tuple[Reference, ...]
    functions: frozenset[str]
    node: Node

    @property
    def uses_status(self) -> bool:
        """Whether it calls `success`, `failure`, `always` or `cancelled`: then an `if` is taken as it stands."""
        return not STATUS_FUNCTIONS.isdisjoint(self.functions)

    @property
    def is_known(self) -> bool:
        """Whether `evaluate(self, {})` has all it needs: no context, no function of the caller's."""
        return not self.references and self.functions <= PURE_FUNCTIONS


@final
class Template(Struct, frozen=True):
    """Text with any number of `${{ }}`; `segments` are its plain parts and its expressions in order, none empty."""

    text: str
    segments: tuple[str | Expression, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it holds no expression, so that `text` is its value."""
        return not any(isinstance(segment, Expression) for segment in self.segments)

    @property
    def single(self) -> Expression | None:
        """The expression, where the whole text is exactly one `${{ }}`: its value keeps its type."""
        only = self.segments[0] if len(self.segments) == 1 else None
        return only if isinstance(only, Expression) else None

    @property
    def references(self) -> tuple[Reference, ...]:
        """Those of all expressions, in the order of the text."""
        return tuple(reference for expression in self._expressions() for reference in expression.references)

    @property
    def functions(self) -> frozenset[str]:
        """The lower-case names of all calls."""
        return frozenset(name for expression in self._expressions() for name in expression.functions)

    @property
    def is_known(self) -> bool:
        """Whether `evaluate_template(self, {})` has all it needs."""
        return all(expression.is_known for expression in self._expressions())

    def is_known_with(self, contexts: Collection[str]) -> bool:
        """Whether these contexts, in lower case, are all that it needs."""
        return self.functions <= PURE_FUNCTIONS and all(reference.path[0] in contexts for reference in self.references)

    def _expressions(self) -> Iterable[Expression]:
        return (segment for segment in self.segments if isinstance(segment, Expression))


Parsed = TypeVar("Parsed", Expression, Template)


def has_expression(text: str) -> bool:
    """Whether `${{` stands in `text`."""
    return _OPEN in text


def parse(
    text: str,
    contexts: Collection[str] | None = None,
    functions: Collection[str] | None = None,
    *,
    rendered: bool = False,
) -> Expression:
    """Reads a bare expression, as in `if`; one `${{ }}` around the whole is accepted, as on GitHub.

    `contexts` are the names that may be referred to and `functions` those that may be called besides the pure ones; None
    allows any. `rendered` is for text that `partially_evaluate` made: values put in may exceed GitHub's limits of 21,000
    characters and depth 50. Raises ExpressionError, with offsets in `text`, and nothing else.
    """
    names = Names(contexts, functions)
    start = skip_space(text, 0)
    if text.startswith(_OPEN, start):
        expression, end = _read_braced(text, start, names, rendered)
        if skip_space(text, end) < len(text):
            hint = "write the whole condition inside one `${{ }}`, or leave the braces out"
            raise ExpressionError("text behind `${{ }}` makes this always true", offset=end, hint=hint)
        return expression
    return _read(text, start, len(text), names, rendered)


def parse_template(
    text: str,
    contexts: Collection[str] | None = None,
    functions: Collection[str] | None = None,
    *,
    rendered: bool = False,
) -> Template:
    """Reads text with any number of `${{ }}`. Arguments and errors are those of `parse`; offsets count in `text`."""
    names = Names(contexts, functions)
    segments: list[str | Expression] = []
    at = 0
    while at < len(text):
        start = text.find(_OPEN, at)
        plain = text[at:] if start < 0 else text[at:start]
        if plain:
            segments.append(plain)
        if start < 0:
            break
        expression, at = _read_braced(text, start, names, rendered)
        segments.append(expression)
    return Template(text, tuple(segments))


def evaluate(
    expression: Expression,
    contexts: Mapping[str, Value],
    functions: Mapping[str, Callable[..., Value]] = _NO_FUNCTIONS,
) -> Value:
    """The value of `expression`; lists and objects come from `contexts` as they are and must not be written to.

    `functions` brings what the language has no rule for: the status functions and `hashFiles`. A property that is not
    there is null; a context or function that is not there is an ExpressionError, as is a call that fails.
    """
    return Evaluator(contexts, functions).value(expression.node)


def evaluate_template(
    template: Template,
    contexts: Mapping[str, Value],
    functions: Mapping[str, Callable[..., Value]] = _NO_FUNCTIONS,
) -> Value:
    """The value of `template`: of any type where it is one `${{ }}`, else text. Raises ExpressionError."""
    if template.single:
        return evaluate(template.single, contexts, functions)
    evaluator = Evaluator(contexts, functions)
    pieces = (
        segment if isinstance(segment, str) else to_text(evaluator.value(segment.node)) for segment in template.segments
    )
    try:
        return bounded(pieces)
    except Unworkable as error:
        raise ExpressionError(str(error), width=len(template.text)) from error


def plain_template(text: str) -> str:
    """The template whose value is `text`, whatever stands in it."""
    return text.replace(_OPEN, _ESCAPED_OPEN)


def partially_evaluate(parsed: Parsed, known: Mapping[str, Value]) -> Parsed:
    """`parsed` with the contexts of `known` put in, worked out as far as they reach and written canonically.

    No reference to a context of `known` is left, and over the other contexts it comes to the same value or error; where
    nothing is left open, `is_known` holds. In a template, known parts become plain text; a `${{` in a value stays text.
    A status function is never dropped. Read the text again with `rendered=True`. The one thing lost is which list or
    object is which: `x == values.list` is false for any `x` that is not known. Raises ExpressionError where the whole
    has no value whatever the rest will be.
    """
    if isinstance(parsed, Expression):
        return parse(_render_checked(fold(parsed.node, known)), rendered=True)
    return _changed_template(parsed, lambda node: fold(node, known))


def change(expression: Expression, change: Callable[[Node], Node], *, folds: bool = False) -> Expression:
    """The expression with its tree changed; with `folds`, worked out as far as what was put in reaches."""
    made = change(expression.node)
    return parse(_render_checked(fold(made, {}) if folds else made), rendered=True)


def change_template(template: Template, change: Callable[[Node], Node], *, folds: bool = False) -> Template:
    """The same for every expression of a template; known parts become plain text, as by `partially_evaluate`."""
    return _changed_template(template, (lambda node: fold(change(node), {})) if folds else change)


def hash_files(digests: Mapping[str, bytes], patterns: Sequence[str]) -> str:
    """What `hashFiles(patterns…)` gives: SHA-256, in hex, over the SHA-256 digests of the files that the patterns choose.

    `digests` has the 32 bytes of each file by its repository-relative path. Files are taken folder by folder in the
    order of their names' bytes. A pattern may hold several lines; empty ones and `#` comments are skipped; the last one that
    matches a file decides, `!` excludes; a pattern that names a folder means all under it. Nothing chosen: empty text.
    Source: github.com/actions/runner, `hashFiles.ts`; github.com/actions/toolkit, `packages/glob`.
    """
    lines = [line.strip() for pattern in patterns for line in pattern.splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    chosen = sorted((path for path in digests if _is_chosen(path, rules)), key=_folder_order)
    return hashlib.sha256(b"".join(digests[path] for path in chosen)).hexdigest() if chosen else ""


def _is_chosen(path: str, rules: Sequence[str]) -> bool:
    chosen = False
    for rule in rules:
        pattern = rule.removeprefix("!").strip().rstrip("/")
        if match_glob(path, pattern) or match_glob(path, f"{pattern}/**"):
            chosen = not rule.startswith("!")
    return chosen


def _folder_order(path: str) -> list[bytes]:
    return [name.encode("utf-8", "surrogatepass") for name in path.split("/")]


def _read_braced(text: str, start: int, names: Names, rendered: bool) -> tuple[Expression, int]:
    """The expression of the `${{ }}` that opens at `start`, and the offset behind it."""
    inner = start + len(_OPEN)
    end = _closing(text, inner)
    if end is None:
        hint = "close it with `}}`; strings inside stand in single quotes"
        raise ExpressionError("`${{` is not closed", offset=start, width=len(_OPEN), hint=hint)
    return _read(text, skip_space(text, inner), end, names, rendered), end + len(_CLOSE)


def _closing(text: str, at: int) -> int | None:
    """The offset of the `}}` that closes what opened before `at`: one inside a string does not count."""
    end = text.find(_CLOSE, at)
    while end >= 0:
        quote = text.find("'", at, end)
        if quote < 0:
            return end
        closing_quote = text.find("'", quote + 1)
        if closing_quote < 0:
            return None
        at = closing_quote + 1
        if at > end:
            end = text.find(_CLOSE, at)
    return None


def _read(text: str, start: int, end: int, names: Names, rendered: bool) -> Expression:
    start = min(start, end)
    source = text[start:end].rstrip(WHITE_SPACE)
    if not source:
        raise ExpressionError("an expression is missing", offset=start)
    if len(source) > MAX_LENGTH and not rendered:
        message = f"the expression is {len(source)} characters long; GitHub takes {MAX_LENGTH}"
        raise ExpressionError(message, offset=start, width=len(source))
    end = start + len(source)
    node = read_expression(text, start, end, names, max_depth=_RENDERED_DEPTH if rendered else MAX_DEPTH)
    references: list[Reference] = []
    functions: set[str] = set()
    _collect(node, references, functions)
    return Expression(source, tuple(references), frozenset(functions), node)


def _collect(node: Node, references: list[Reference], functions: set[str]) -> None:
    chain = _chain(node)
    if chain:
        context, keys = chain
        end = node.end if isinstance(node, Index) else context.offset + len(context.name)
        path = (context.name.lower(), *map(_path_part, keys))
        references.append(Reference(path, context.name, context.offset, end - context.offset))
        for key in keys:
            _collect(key, references, functions)
        return
    if isinstance(node, Call):
        functions.add(node.name.lower())
    for child in children(node):
        _collect(child, references, functions)


def _chain(node: Node) -> tuple[Context, list[Node]] | None:
    """The context at the root of `node` and the keys applied to it; None where something else is at the root."""
    keys: list[Node] = []
    while isinstance(node, Index):
        keys.insert(0, node.key)
        node = node.target
    return (node, keys) if isinstance(node, Context) else None


def _path_part(key: Node) -> str | int | None:
    if not isinstance(key, Literal) or isinstance(key, Wildcard) or not is_scalar(key.value):
        return None
    if isinstance(key.value, (int, float)) and not isinstance(key.value, bool):
        number = as_number(key.value)
        return number if isinstance(number, int) else to_text(number)
    return to_text(key.value)


def _changed_template(template: Template, change: Callable[[Node], Node]) -> Template:
    parts: list[str | Node] = []
    for segment in template.segments:
        folded = segment if isinstance(segment, str) else change(segment.node)
        becomes_text = isinstance(folded, Literal) and (not template.single or isinstance(folded.value, str))
        text = to_text(folded.value) if isinstance(folded, Literal) and becomes_text else folded
        if isinstance(text, str) and parts and isinstance(parts[-1], str):
            parts[-1] += text
        elif text != "":
            parts.append(text)
    if len(parts) == 1 and not isinstance(parts[0], str) and not template.single:
        # Alone it would keep its type; that it stood within text made it text.
        parts[0] = Call("format", (Literal("{0}"), parts[0]), 0)
    return parse_template("".join(map(_render_part, parts)), rendered=True)


def _render_part(part: str | Node) -> str:
    return part.replace(_OPEN, _ESCAPED_OPEN) if isinstance(part, str) else f"{_OPEN} {_render_checked(part)} {_CLOSE}"


def _render_checked(node: Node) -> str:
    try:
        return render(node)
    except Unworkable as error:
        raise ExpressionError(str(error)) from error
