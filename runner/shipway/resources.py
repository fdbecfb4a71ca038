"""What nodes read and write, as names that can be compared: files, by path or pattern, and whatever else has a name. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from shipway.globs import globs_meet, match_glob

_SCHEME = re.compile("([a-z][a-z0-9+.-]*):(.+)", re.DOTALL)
_SPECIAL = re.compile(r"[*?\[\\]")


class Reach(IntEnum):
    """How much of the file system a path stands for: what has that name, also all below it, or what a pattern names.

    `NAMES`: some of what is in that folder, and all below those, but not the folder.
    """

    ENTRY = 0
    TREE = 1
    PATTERN = 2
    NAMES = 3


class Resource(NamedTuple):
    """`file:dist/app.js`, `file:dist/**`, `db:shop`. Files are relative to the workspace, or absolute; other names are exact."""

    scheme: str
    name: str
    reach: Reach = Reach.ENTRY
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}" + ("/…" if self.reach is Reach.NAMES else "")

    @property
    def literal(self) -> str:
        """What the name of everything that it stands for begins with."""
        if self.reach is not Reach.PATTERN:
            return "" if self.name == "." else self.name
        found = _SPECIAL.search(self.name)
        begin = self.name[: found.start()] if found else self.name
        # `dist/**` stands for `dist` as well.
        return begin.removesuffix("/")

    def meets(self, other: Resource) -> bool:
        """Whether something belongs to both."""
        if self.scheme != other.scheme:
            return False
        if self.reach is Reach.NAMES or other.reach is Reach.NAMES:
            return _names_meet(self, other) if self.reach is Reach.NAMES else _names_meet(other, self)
        if self.reach is Reach.PATTERN or other.reach is Reach.PATTERN:
            return _patterns_meet(self, other)
        if self.name == other.name:
            return True
        return (self.reach is Reach.TREE and _is_below(other.name, self.name)) or (
            other.reach is Reach.TREE and _is_below(self.name, other.name)
        )

    def ancestors(self) -> Iterable[str]:
        """The folders around it, the nearest first."""
        is_inside = self.reach in (Reach.PATTERN, Reach.NAMES)
        return _around(self.literal if is_inside else posixpath.dirname(self.name))


@lru_cache(maxsize=1024)
def _around(folder: str) -> tuple[str, ...]:
    """The folder and those around it, the nearest first; thousands of files are in one."""
    found = []
    while folder.strip("/"):  # two slashes at the beginning stay two: POSIX.1-2017, 4.13
        found.append(folder)
        folder = posixpath.dirname(folder)
    return tuple(found)


def declared(text: str) -> Resource:
    """What a person wrote in `reads` or `writes`: a path stands for all below it too, `scheme:name` for itself."""
    found = _SCHEME.fullmatch(text)
    if found and found[1] != "file":
        return Resource(found[1], found[2])
    path = found[2] if found else text
    if _SPECIAL.search(path):
        return Resource("file", path.removeprefix("./"), Reach.PATTERN)
    return at_path(path, Reach.TREE)


def at_path(path: str, reach: Reach) -> Resource:
    """A path that an action acts on; none of its characters is special."""
    return Resource("file", posixpath.normpath(path), reach)


def in_folder(folder: str, names: Iterable[str]) -> Resource:
    """Some of what is in a folder that an action acts on."""
    return Resource("file", posixpath.normpath(folder), Reach.NAMES, frozenset(names))


def file_patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """The patterns among what `reads` lists, without `file:`; what is no file is left out."""
    found = []
    for text in texts:
        scheme = _SCHEME.fullmatch(text)
        if scheme is None:
            found.append(text)
        elif scheme[1] == "file":
            found.append(scheme[2])
    return tuple(found)


def excludes(pattern: str, resource: Resource) -> bool:
    """Whether a pattern that was written with `!` takes all of `resource` away."""
    if resource.reach is Reach.ENTRY:
        return match_glob(resource.name, pattern)
    base = pattern.removesuffix("/**")
    literal = resource.literal
    return base != pattern and not _SPECIAL.search(base) and (literal == base or _is_below(literal, base))


def _is_below(name: str, folder: str) -> bool:
    return folder == "." or name.startswith(folder + "/")


def _names_meet(one: Resource, other: Resource) -> bool:
    """As `meets`, of which `one` are names in a folder."""
    if other.reach is Reach.NAMES and other.name == one.name:
        return not one.names.isdisjoint(other.names)
    if other.reach is Reach.PATTERN:
        return any(_patterns_meet(at_path(f"{one.name}/{name}", Reach.TREE), other) for name in one.names)
    if other.reach is not Reach.ENTRY and (one.name == other.name or _is_below(one.name, other.name)):
        return other.reach is Reach.TREE or _names_inside(one.name, other)
    return _names_inside(other.name, one)


def _names_inside(path: str, names: Resource) -> bool:
    """Whether a path is one of the names in a folder, or below one."""
    inside = path if names.name == "." else path.removeprefix(f"{names.name}/")
    return (inside != path or names.name == ".") and inside.partition("/")[0] in names.names


def _patterns_meet(one: Resource, other: Resource) -> bool:
    if one.reach is Reach.ENTRY:
        return match_glob(one.name, other.name)
    if other.reach is Reach.ENTRY:
        return match_glob(other.name, one.name)
    return globs_meet(_as_pattern(one), _as_pattern(other))


def _as_pattern(resource: Resource) -> str:
    if resource.reach is Reach.PATTERN:
        return resource.name
    plain = "" if resource.name == "." else re.sub(r"([*?\[\\])", r"\\\1", resource.name) + "/"
    return plain + "**"
