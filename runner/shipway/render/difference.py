"""Two JSON values as a small diff, line by line. Bounded work whatever the values are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from typing import TypeAlias

from shipway.canonical import Json
from shipway.render.foreign import clean, one_line

SignedLine: TypeAlias = tuple[str, str]
"""`+`, `-` or a space, and the text of the line."""

_MAX_COMPARED = 500
"""difflib takes quadratic time: longer texts are shown as all gone and all come."""

_MAX_WHOLE = 8
"""Lists of more texts than these are compared text by text."""

_Leaves: TypeAlias = dict[str, Json]


def diff_lines(before: Json, after: Json) -> list[SignedLine]:
    """What differs, member by member under dotted names, texts of several lines as lines with context. Cleaned."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    lines: list[SignedLine] = []
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            if old[name] != new[name] or type(old[name]) is not type(new[name]):
                lines += _changed(name, old[name], new[name])
        elif name in old:
            lines += _whole("-", name, old[name])
        else:
            lines += _whole("+", name, new[name])
    return lines


def inline(value: Json) -> str:
    """A value on one line: a plain text bare, anything else (also a text that could be mistaken for one) as JSON."""
    if isinstance(value, str) and value.strip() == value and value and not _reads_as_json(value) and "\n" not in value:
        return one_line(value)
    return clean(json.dumps(value, ensure_ascii=False, default=str)).replace("\n", " ")


def _leaves(value: Json, name: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for key, member in value.items():
            yield from _leaves(member, f"{name}.{key}" if name else str(key))
    elif value is not None or name:
        yield name, value


def _changed(name: str, old: Json, new: Json) -> list[SignedLine]:
    if isinstance(old, str) and isinstance(new, str) and ("\n" in old or "\n" in new):
        return [*_label(" ", name), *_compared(clean(old).split("\n"), clean(new).split("\n"))]
    if (items := _items_changed(old, new)) is not None:
        return [*_label(" ", name), *items]
    return [*_whole("-", name, old), *_whole("+", name, new)]


def _items_changed(old: Json, new: Json) -> list[SignedLine] | None:
    """What went from a long list of texts, and what came; None for anything else, and where only their order is another."""
    before, after = _texts(old), _texts(new)
    if before is None or after is None or max(len(before), len(after)) <= _MAX_WHOLE:
        return None
    there, wanted = frozenset(before), frozenset(after)
    gone = [("-", f"  {inline(text)}") for text in before if text not in wanted]
    return gone + [("+", f"  {inline(text)}") for text in after if text not in there] or None


def _texts(value: Json) -> list[str] | None:
    texts = [each for each in value if isinstance(each, str)] if isinstance(value, list) else None
    return texts if texts is not None and isinstance(value, list) and len(texts) == len(value) else None


def _compared(old: Sequence[str], new: Sequence[str]) -> list[SignedLine]:
    if len(old) > _MAX_COMPARED or len(new) > _MAX_COMPARED:
        return [*(("-", f"  {line}") for line in old), *(("+", f"  {line}") for line in new)]
    lines = list(unified_diff(old, new, lineterm="", n=2))[3:]
    return [(" ", "  …") if line.startswith("@@") else (line[0], f"  {line[1:]}") for line in lines]


def _whole(sign: str, name: str, value: Json) -> list[SignedLine]:
    if isinstance(value, str) and "\n" in value.strip("\n"):
        return [*_label(sign, name), *((sign, f"  {line}") for line in clean(value).rstrip("\n").split("\n"))]
    return [(sign, f"{one_line(name)}: {inline(value)}" if name else inline(value))]


def _label(sign: str, name: str) -> list[SignedLine]:
    return [(sign, f"{one_line(name)}:")] if name else []


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
