"""The files of the state as trees, one per target and root. Pure; draws nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from msgspec import Struct, field

from shipway.state import Entry


class Branch(Struct):
    """A folder or a file of a tree, by the last part of its path; `entry` is what the state says of exactly this path."""

    name: str
    entry: Entry | None = None
    branches: dict[str, Branch] = field(default_factory=dict)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Branch]]:
        """It and all below, each behind the folder it is in, folders and files by name, with how deep they are."""
        yield depth, self
        for name in sorted(self.branches):
            yield from self.branches[name].walk(depth + 1)


def trees(entries: Iterable[Entry]) -> dict[tuple[str, str, str], Branch]:
    """The files among `entries` by lifecycle, target and root, in that order.

    A file's root is the fact of that name; without one it is the folder that all with an absolute path are in, and the
    workspace, `.`, of any other. The tree is called as the root's last part is.
    """
    found: dict[tuple[str, str, str], Branch] = {}
    for entry in entries:
        if entry.kind != "file":
            continue
        root, parts = _placed(entry)
        key = (entry.identity.lifecycle, entry.identity.target, root)
        branch = found.setdefault(key, Branch(PurePosixPath(root).name or root))
        for part in parts:
            branch = branch.branches.setdefault(part, Branch(part))
        branch.entry = entry
    for key in [key for key in found if key[2] == "/"]:
        root, branch = _common_folder(found[key])
        if (lower := (*key[:2], root)) not in found:
            del found[key]
            found[lower] = branch
    return dict(sorted(found.items()))


def _common_folder(top: Branch) -> tuple[str, Branch]:
    """The folder that all below the root of the file system are in, and its tree."""
    path, here = PurePosixPath("/"), top
    while len(here.branches) == 1:
        [below] = here.branches.values()
        if not below.branches or below.entry is not None:
            break
        path, here = path / below.name, below
    return str(path), here


def _placed(entry: Entry) -> tuple[str, tuple[str, ...]]:
    path = PurePosixPath(entry.name)
    named = entry.facts.get("root")
    if isinstance(named, str) and named:
        return named, (path.relative_to(named) if path.is_relative_to(named) else path).parts
    return ("/", path.parts[1:]) if path.is_absolute() else (".", path.parts)
