"""The nodes of a YAML file with their places, and how a place becomes a position. Parses nothing; knows no key's meaning."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from shipway.canonical import Json
from shipway.errors import Position, Problem

LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What the YAML parser counts as the end of a line."""


class SourceFile(Struct, frozen=True):
    """One file as read: its name relative to the root, its text without a byte order mark, and its lines."""

    name: str
    text: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str) -> SourceFile:
        """The file `name` with `text`, split where the YAML parser counts lines."""
        return cls(name, text, tuple(LINE_BREAK.split(text)))

    def problem(self, text: str, line: int, column: int, width: int = 1, hint: str = "") -> Problem:
        """A problem at `line` and `column`, both counted from 0."""
        return Problem(text, Position(self.name, line + 1, column + 1, max(width, 1)), self.line(line), hint)

    def line(self, number: int) -> str:
        """The line `number`, counted from 0; empty past the end."""
        return self.lines[number] if number < len(self.lines) else ""


class Span(NamedTuple):
    """From where to where a node stands in `file`: lines, columns and offsets into its text count from 0."""

    file: SourceFile
    line: int
    column: int
    start: int
    end_line: int
    end_column: int
    end: int


class Scalar:
    """A scalar: `text` as YAML reads it, `data` as JSON, `style` one of empty (plain) `'` `"` `|` `>`."""

    __slots__ = ("data", "span", "style", "text")

    def __init__(self, span: Span, text: str, style: str, data: Json) -> None:
        self.span, self.text, self.style, self.data = span, text, style, data

    def is_unwritten(self) -> bool:
        """Whether it is the null of a key with nothing behind it, which has no place of its own."""
        return not self.text and not self.style


class Sequence:
    """A list of nodes."""

    __slots__ = ("items", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.items: list[Node] = []


class Mapping:
    """A mapping from key to its key scalar and value; `pending` is the key whose value is still being read."""

    __slots__ = ("entries", "pending", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.entries: dict[str, tuple[Scalar, Node]] = {}
        self.pending: Node | None = None


Node: TypeAlias = Scalar | Sequence | Mapping


def plain_data(node: Node) -> Json:
    """The JSON that `node` stands for."""
    if isinstance(node, Scalar):
        return node.data
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(value) for key, (_, value) in node.entries.items()}


def merged(base: Node, over: Node) -> Node:
    """`over` merged into `base`: mappings key by key, a null clears its key, lists and scalars replace. Changes neither."""
    if not isinstance(over, Mapping):
        return over
    result = Mapping(base.span if isinstance(base, Mapping) else over.span)
    entries = result.entries
    if isinstance(base, Mapping):
        entries.update(base.entries)
    for key, (key_node, value) in over.entries.items():
        if isinstance(value, Scalar) and value.data is None:
            entries.pop(key, None)
            continue
        before_key, before = entries.get(key, (key_node, None))
        is_deeper = isinstance(value, Mapping) and isinstance(before, Mapping)
        entries[key] = (before_key if is_deeper else key_node, merged(before or Mapping(value.span), value))
    return result


def position(node: Node) -> Position:
    """Where `node` stands; `width` covers it up to the end of its first line, of a block scalar its `|` or `>`."""
    span = node.span
    if isinstance(node, Scalar) and node.style in {"|", ">"}:
        end = span.column + 1
    elif span.end_line == span.line:
        end = span.end_column
    else:
        end = len(span.file.line(span.line).rstrip())
    return Position(span.file.name, span.line + 1, span.column + 1, max(end - span.column, 1))


def position_within(node: Scalar, offset: int, width: int) -> Position:
    """Where `width` characters at `offset` of the text of `node` stand: exact but where escapes or folding hide it."""
    span = node.span
    written = span.file.text[span.start : span.end]
    snippet = node.text[offset : offset + max(width, 1)].split("\n")[0]
    found = _same_occurrence(written, node.text, offset, snippet)
    if found is None:
        return position(node)
    before = LINE_BREAK.split(written[:found])
    column = len(before[-1]) + (span.column if len(before) == 1 else 0)
    return Position(span.file.name, span.line + len(before), column + 1, max(len(snippet), 1))


def _same_occurrence(written: str, text: str, offset: int, snippet: str) -> int | None:
    """Where in `written` the occurrence of `snippet` begins that stands at `offset` of `text`: occurrences are counted."""
    if not snippet:
        return None
    at, found = -1, -1
    while at < offset:
        at, found = text.find(snippet, at + 1), written.find(snippet, found + 1)
        if at < 0 or found < 0:
            return None
    return found
