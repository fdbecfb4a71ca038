"""YAML text as plain JSON data, each value with its place in the file. The only module on YAML; knows no key's meaning."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import yaml

from shipway.canonical import MAX_SAFE_INTEGER, Json
from shipway.errors import DeclarationError, Position, Problem
from shipway.source_nodes import (
    LINE_BREAK,
    Mapping,
    Node,
    Scalar,
    Sequence,
    SourceFile,
    Span,
    merged,
    plain_data,
    position,
    position_within,
)
from shipway.yaml_words import TAG_TRAP, explain, is_about_opening, is_in_expression, tag_in_if

Path_: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 4 * 1024 * 1024
"""Larger files are refused: a declaration of 5,000 steps is under 1 MB, and one from a pull request is not to be trusted."""

MAX_DEPTH = 64
"""Deeper nesting is refused while reading, so that nothing recursive behind it can run out of stack."""

MAX_PROBLEMS = 100
"""After so many problems of reading the rest of the file is not looked at."""

DOCS = "docs/declaration.md"

# Named one by one, not as all but the allowed ones: that compiles ten milliseconds faster, in every start.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Json] = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False}
_LONGEST_INTEGER = len(str(-MAX_SAFE_INTEGER))
_QUOTE_NUMBER = "quote it to keep it as a text"


def load_failed(problems: list[Problem], anchor: str = "", about: str = "") -> DeclarationError:
    """The error that holds all `problems`, pointing at docs/declaration.md; `about` (`keys of `retry``) introduces it."""
    count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    if len(problems) >= MAX_PROBLEMS:
        count += " or more"
    page = f"{DOCS}#{anchor}" if anchor else DOCS
    return DeclarationError(
        f"load failed with {count}; nothing was planned",
        phase="load",
        where=problems[0].where if problems else None,
        line=problems[0].line if problems else "",
        next=f"{about}: {page}" if about else f"see {page}",
        problems=problems,
    )


class SourceTree:
    """The merged content of one or more files, with the place of every value.

    `problems` are those that leave the data readable (a key given twice, a key that is no text, a number too large):
    whoever uses `data` reports them too.
    """

    def __init__(self, root: Node, files: Collection[SourceFile], problems: Collection[Problem] = ()) -> None:
        self._root = root
        self._files = tuple(files)
        self.problems = tuple(problems)
        self.data: Json = plain_data(root)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files read, the overlay last."""
        return tuple(file.name for file in self._files)

    def overlaid(self, over: SourceTree) -> SourceTree:
        """This tree with `over` merged in: mappings key by key, null clears a key, lists and scalars replace."""
        root = merged(self._root, over._root)
        return SourceTree(root, self._files + over._files, self.problems + over.problems)

    def locate(self, path: Path_, key: bool = False) -> Position:
        """Where the value at `path` stands, or with `key` its key; for a path that leads nowhere the last that exists.

        `width` covers the key or the value as written, up to the end of its first line.
        """
        return position(self._nearest(path, key))

    def locate_within(self, path: Path_, offset: int, width: int) -> Position:
        """Where `width` characters at `offset` of the text at `path` stand: at least the line is right, whatever the style."""
        node = self._nearest(path, False)
        if not isinstance(node, Scalar):
            return position(node)
        return position_within(node, offset, width)

    def spelling(self, path: Path_) -> str:
        """The scalar at `path` as written in the source (`3.10`, not 3.1). Raises KeyError where there is no scalar."""
        node = self._find(path)
        if not isinstance(node, Scalar):
            raise KeyError(path)
        return node.text

    def line(self, position: Position) -> str:
        """The source line of `position` as written, without its line break; empty for another file."""
        for file in self._files:
            if file.name == position.file:
                return file.line(position.line - 1)
        return ""

    def problem(self, path: Path_, text: str, hint: str = "", key: bool = False) -> Problem:
        """A problem with the value at `path`, or with its key."""
        return self.problem_at(self.locate(path, key), text, hint)

    def problem_at(self, where: Position, text: str, hint: str = "") -> Problem:
        """A problem at a place of one of the files."""
        return Problem(text, where, self.line(where), hint)

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Sorts problems as the files are read."""
        where = problem.where
        if where is None or where.file not in self.files:
            return (-1, 0, 0)
        return (self.files.index(where.file), where.line, where.column)

    def _nearest(self, path: Path_, key: bool) -> Node:
        node: Node = self._root
        for depth, part in enumerate(path):
            if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
                key_node, value = node.entries[part]
                if depth == len(path) - 1 and (key or (isinstance(value, Scalar) and value.is_unwritten())):
                    return key_node
                node = value
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                break
        return node

    def _find(self, path: Path_) -> Node | None:
        node: Node = self._root
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
                node = node.entries[part][1]
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node


def parse(content: bytes, name: str) -> SourceTree:
    """The YAML document in `content`, whose places say file `name`.

    Scalars are read as YAML 1.2 does. Raises DeclarationError with every problem found for what is no YAML, or is YAML
    that a declaration has no use for: anchors, aliases, tags, further documents, too much of anything.
    """
    file = SourceFile.of(name, _decoded(content, name))
    _refuse_characters(file)
    composer = _Composer(file)
    with _collector_paused():
        composer.read(yaml.parse(file.text, Loader=yaml.CSafeLoader))
        if composer.refusals:
            raise load_failed([*composer.refusals, *composer.problems], "yaml")
        if composer.root is None or (isinstance(composer.root, Scalar) and composer.root.is_unwritten()):
            hint = "a declaration needs at least `version`, `name` and `steps`"
            raise load_failed([file.problem("the file is empty", 0, 0, hint=hint)])
        return SourceTree(composer.root, (file,), composer.problems)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Reading makes hundreds of thousands of objects and no garbage: collecting cycles meanwhile triples its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decoded(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        too_large = Problem(f"the file is larger than {MAX_BYTES >> 20} MiB", Position(name, 1, 1))
        raise load_failed([too_large], "yaml")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = LINE_BREAK.split(content[: error.start].decode())
        shown = SourceFile.of(name, content.decode(errors="replace"))
        hint = "the file is UTF-16: " if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        text = f"the byte {content[error.start]:#04x} is not UTF-8"
        problem = shown.problem(text, len(before) - 1, len(before[-1]), hint=hint + "save it as UTF-8")
        raise load_failed([problem], "yaml") from error


def _refuse_characters(file: SourceFile) -> None:
    if _FORBIDDEN.search(file.text) is None:
        return
    hint = "remove it, or write it as an escape in double quotes: "
    found = [
        file.problem(_forbidden(match[0]), number, match.start(), hint=f'{hint}`"\\u{ord(match[0]):04x}"`')
        for number, line in enumerate(file.lines)
        for match in _FORBIDDEN.finditer(line)
    ]
    raise load_failed(found[:MAX_PROBLEMS], "yaml")


def _forbidden(character: str) -> str:
    return f"the character U+{ord(character):04X} cannot stand in YAML"


class _Composer:
    """Builds nodes from parser events without recursion: the parser's own composer overflows the C stack on deep nesting.

    `refusals` make the file unreadable; `problems` do not.
    """

    def __init__(self, file: SourceFile) -> None:
        self.root: Node | None = None
        self.refusals: list[Problem] = []
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[Sequence | Mapping] = []
        self._documents = 0
        self._aliases: set[str] = set()

    def read(self, events: Iterator[yaml.Event]) -> None:
        """Takes all events; a syntax error, too deep nesting, a second document or too many problems end it."""
        try:
            for event in events:
                self._take(event)
                too_many = len(self.refusals) + len(self.problems) >= MAX_PROBLEMS
                if too_many or len(self._open) > MAX_DEPTH or self._documents > 1:
                    return
        except yaml.MarkedYAMLError as error:
            self.refusals.append(self._syntax(error))
        except yaml.YAMLError as error:
            self.refusals.append(self._file.problem(f"not YAML: {error}", 0, 0))

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._take_start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._take_end(event)
        elif isinstance(event, yaml.AliasEvent):
            hint = "write the value again: a declaration has no anchors and aliases"
            name = event.anchor or ""
            if name not in self._aliases:
                self._refuse(event, f"the alias `*{_short(name)}` cannot stand here", hint)
            self._aliases.add(name)
            self._put(Scalar(self._span(event), "", "", None))
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "a second document begins here", "a declaration is one document: remove the `---`")

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        span = self._span(event)
        self._refuse_marks(event)
        text, style = event.value, event.style or ""
        node = Scalar(span, text, style, text)
        if not event.implicit[0]:
            if "\0" in text:
                self._complain(node, "a NUL character cannot stand in a text", "remove the `\\0`")
        else:
            node.data = self._plain(node)
        self._put(node)

    def _take_start(self, event: yaml.CollectionStartEvent) -> None:
        span = self._span(event)
        self._refuse_marks(event)
        node = Mapping(span) if isinstance(event, yaml.MappingStartEvent) else Sequence(span)
        self._put(node)
        self._open.append(node)
        if len(self._open) > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep", "a declaration needs five or six")

    def _take_end(self, event: yaml.CollectionEndEvent) -> None:
        node, end = self._open.pop(), self._span(event)
        node.span = node.span._replace(end_line=end.end_line, end_column=end.end_column, end=end.end)

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        holder = self._open[-1]
        if isinstance(holder, Sequence):
            holder.items.append(node)
        elif holder.pending is None:
            holder.pending = node
        else:
            self._enter(holder, holder.pending, node)
            holder.pending = None

    def _enter(self, mapping: Mapping, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            self._complain(key, "a key must be a text", "write the key as a word, or quote it")
        elif not isinstance(key.data, str):
            shown = key.text or "null"
            self._complain(key, f"the key `{shown}` is not a text", f'quote it: `"{shown}"`')
        elif key.text in mapping.entries:
            before = mapping.entries[key.text][0].span.line + 1
            self._complain(
                key, f"the key `{key.text}` is given twice", f"it is in line {before} too: remove one of them"
            )
        else:
            mapping.entries[key.text] = (key, value)

    def _plain(self, node: Scalar) -> Json:
        """The JSON of a scalar without quotes: YAML 1.2's null, booleans and decimal numbers; all else is text."""
        text = node.text
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "+-.0123456789":
            return text
        if _INFINITE.fullmatch(text):
            self._complain(node, f"`{text}` is not a number that a declaration can hold", _QUOTE_NUMBER)
        if not _NUMBER.fullmatch(text):
            return text
        if _INTEGER.fullmatch(text):
            if len(text) <= _LONGEST_INTEGER and abs(int(text)) <= MAX_SAFE_INTEGER:
                return int(text)
            self._complain(node, f"`{_short(text)}` is larger than 2^53-1", _QUOTE_NUMBER)
            return 0
        if math.isfinite(number := float(text)):
            return number
        self._complain(node, f"`{_short(text)}` is larger than any number", _QUOTE_NUMBER)
        return 0

    def _refuse_marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        """Anchors and tags."""
        if event.anchor is not None:
            self._refuse(
                event,
                f"the anchor `&{_short(event.anchor)}` cannot stand here",
                "remove it: a declaration has no anchors and aliases",
            )
        if event.tag is not None:
            span = self._span(event)
            in_if = tag_in_if(span.file.line(span.line)) == span.column
            hint = TAG_TRAP if in_if else "quote the value: a declaration has no YAML tags"
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"the tag `{_short(shown)}` cannot stand here", hint)

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
        (line, column), *around = [(mark.line, mark.column) for mark in marks] or [(0, 0)]
        refusal = error.problem or "not YAML"
        opened = around[0] if around else (line, column)
        in_expression = is_in_expression(self._file.line(line), column)
        if opened[0] != line and is_about_opening(refusal) and not in_expression:
            line, column = opened
        elif (in_if := tag_in_if(self._file.line(line))) is not None:
            column = in_if
        elif not self._file.line(line).strip():
            line, column = self._end()
            refusal = "end of the file"
        text, hint = explain(refusal, self._file.line(line), column)
        return self._file.problem(text, line, column, hint=hint)

    def _end(self) -> tuple[int, int]:
        """The last character that is not blank."""
        written = [number for number, line in enumerate(self._file.lines) if line.strip()]
        return (written[-1], len(self._file.line(written[-1]).rstrip()) - 1) if written else (0, 0)

    def _span(self, event: yaml.Event) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self._file, start.line, start.column, start.index, end.line, end.column, end.index)  # type: ignore[union-attr]

    def _refuse(self, event: yaml.Event, text: str, hint: str) -> None:
        span = self._span(event)
        self.refusals.append(self._file.problem(text, span.line, span.column, hint=hint))

    def _complain(self, node: Node, text: str, hint: str) -> None:
        where = position(node)
        self.problems.append(Problem(text, where, self._file.line(where.line - 1), hint))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
