"""Which repository-relative paths a glob pattern names. Owns the matching rules; reads no folder.

Matching takes time in proportion to pattern times path, whatever the pattern is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

_SPECIAL = re.compile(r"[*?\[\\]")


def match_glob(path: str, pattern: str) -> bool:
    """Whether `pattern` names `path`; both are relative to the repository and use `/`; case and dots are plain characters.

    `*` and `?` stay inside one segment, `**` as a whole segment stands for any number of segments, none included,
    `[a-z]` and `[!a-z]` are sets that never contain `/`, and a backslash takes the next character as it is. A leading
    `./` is dropped from the pattern. There is no `!` here: see `match_globs`.
    """
    folder = _folder(pattern)
    if folder is not None:
        path = path.removeprefix("./")
        return path == folder or path.startswith(f"{folder}/")
    return _match_segments(_segments(path), _segments(pattern))


@lru_cache(maxsize=256)
def _folder(pattern: str) -> str | None:
    """Of `folder/**`, the commonest pattern there is, the folder, that a path begins with or not; None for any other."""
    folder = pattern.removeprefix("./").removesuffix("/**")
    return folder if pattern.endswith("/**") and not _SPECIAL.search(folder) else None


def match_globs(path: str, patterns: Sequence[str]) -> bool:
    """Whether `patterns`, taken in order, choose `path`: the last one that matches decides, and a leading `!` excludes."""
    chosen = False
    for pattern in patterns:
        excludes = pattern.startswith("!")
        if chosen == excludes and match_glob(path, pattern[1:] if excludes else pattern):
            chosen = not excludes
    return chosen


def _segments(text: str) -> list[str]:
    return text.removeprefix("./").split("/")


def _match_segments(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Greedy matching: on a mismatch only the latest `**` takes one name more, so the work is a product, not a power."""
    name = pattern = 0
    retry_name = retry_pattern = -1
    while name < len(names):
        if pattern < len(patterns) and patterns[pattern] == "**":
            retry_name, retry_pattern = name, pattern
            pattern += 1
        elif pattern < len(patterns) and _match_name(names[name], patterns[pattern]):
            name, pattern = name + 1, pattern + 1
        elif retry_pattern >= 0:
            retry_name += 1
            name, pattern = retry_name, retry_pattern + 1
        else:
            return False
    return all(rest == "**" for rest in patterns[pattern:])


def _match_name(name: str, pattern: str) -> bool:
    """The same greedy walk inside one segment, where `*` is what may take more."""
    at = where = 0
    retry_at = retry_where = -1
    while at < len(name):
        if where < len(pattern) and pattern[where] == "*":
            retry_at, retry_where = at, where
            where += 1
            continue
        after = _match_character(name[at], pattern, where)
        if after is not None:
            at, where = at + 1, after
        elif retry_where >= 0:
            retry_at += 1
            at, where = retry_at, retry_where + 1
        else:
            return False
    return pattern[where:].strip("*") == ""


def _match_character(character: str, pattern: str, where: int) -> int | None:
    """The place in `pattern` behind what matches `character` at `where`, or None where it does not match."""
    if where >= len(pattern):
        return None
    first = pattern[where]
    if first == "?":
        return where + 1
    if first == "\\" and where + 1 < len(pattern):
        return where + 2 if pattern[where + 1] == character else None
    if first == "[":
        end = _set_end(pattern, where)
        if end is not None:
            return end if _in_set(character, pattern[where + 1 : end - 1]) else None
    return where + 1 if first == character else None


def _set_end(pattern: str, start: int) -> int | None:
    """The place behind the `]` of the set that opens at `start`; None where it stays open and `[` means itself."""
    first = start + 2 if pattern[start + 1 : start + 2] in ("!", "^") else start + 1
    end = pattern.find("]", first + 1)
    return None if end < 0 else end + 1


def _in_set(character: str, members: str) -> bool:
    excluded = members[:1] in ("!", "^")
    members = members[1:] if excluded else members
    at, found = 0, False
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            found = found or members[at] <= character <= members[at + 2]
            at += 3
        else:
            found = found or members[at] == character
            at += 1
    return found != excluded


def globs_meet(one: str, other: str) -> bool:
    """Whether some path is named by both patterns. A set is compared by its ends and by plain characters."""
    return _meet(_segments(one), _segments(other), "**", _names_meet)


def _names_meet(one: str, other: str) -> bool:
    if one == other:
        return True
    return _meet(_characters(one), _characters(other), "*", _characters_meet)


def _meet(one: Sequence[str], other: Sequence[str], many: str, fits: Callable[[str, str], bool]) -> bool:
    """Whether both lists have a common reading, where `many` stands for any number of the other things."""
    width = len(other) + 1
    row = [False] * width
    for place in range(len(one), -1, -1):
        below, row = row, [False] * width
        for column in range(len(other), -1, -1):
            if place == len(one) and column == len(other):
                row[column] = True
            elif place < len(one) and one[place] == many:
                row[column] = below[column] or (column < len(other) and row[column + 1])
            elif column < len(other) and other[column] == many:
                row[column] = row[column + 1] or (place < len(one) and below[column])
            elif place < len(one) and column < len(other):
                row[column] = below[column + 1] and fits(one[place], other[column])
    return row[0]


def _characters(pattern: str) -> list[str]:
    """The pattern of one segment, one character or set at a time; `*` alone stands for many."""
    found, where = [], 0
    while where < len(pattern):
        end = where + 1
        if pattern[where] == "\\" and end < len(pattern):
            end += 1
        elif pattern[where] == "[":
            end = _set_end(pattern, where) or end
        found.append(pattern[where:end])
        where = end
    return found


_PLAIN = "".join(map(chr, range(32, 127)))


def _characters_meet(one: str, other: str) -> bool:
    tried = _PLAIN if len(one) > 2 and len(other) > 2 else ""
    return any(
        _match_character(character, one, 0) is not None and _match_character(character, other, 0) is not None
        for character in {*one, *other, *tried, "x"}
        if character != "/"
    )
