"""Records of what stands at a path, or no longer does, by the work of an action among files. Reads, and changes nothing."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from shipway.canonical import Json
from shipway.file_state import Kind, fingerprint, kind_of
from shipway.records import Record

FILE = "file"
"""The kind of a file, a link or a directory: what has a path."""

BELOW_MAX = 10_000
"""How many things below a directory are told of when that goes or moves."""


def here(name: Json, after: str, how: str, **facts: Json) -> Record:
    """What stands at the path `name`, as a slot has it, with the fingerprint `after`.

    `how` is `write`, `copy`, `link`, `directory`, `move`, `backup`, `extracted` or `downloaded`. Mode and digest come from the
    fingerprint; facts that are None are left out.
    """
    kind, *details = after.split()
    seen: dict[str, Json] = {}
    if kind in ("file", "directory"):
        seen["mode"] = details[0]
    if kind == "file":
        seen["digest"] = f"sha256:{details[1]}"
    told = {name: value for name, value in facts.items() if value is not None}
    return Record(FILE, normalised(name), fingerprint=after, facts={"how": how, **seen, **told})


def gone(path: Path, name: Json) -> list[Record]:
    """That nothing stands at `path` any more, nor below it: to be asked while it is still there."""
    return [Record(FILE, normalised(name), present=False), *gone_below(path, name)]


def gone_below(path: Path, name: Json) -> list[Record]:
    """That nothing stands below `path` any more, which was no directory or is none any more."""
    return [Record(FILE, below, present=False) for below, _ in _below(path, name)]


def gone_above(name: Json, count: int) -> list[Record]:
    """That the `count` folders right above the path `name` are gone, which nothing was in any more; the innermost first."""
    records: list[Record] = []
    folder = normalised(name)
    for _ in range(count):
        folder = posixpath.dirname(folder)
        records.append(Record(FILE, folder, present=False, facts={"how": "directory"}))
    return records


BACKUP = "backup"
"""How a file came to stand where it does that was moved aside to make room: it is nobody's but whose it was."""


def moved(path: Path, name: Json, source: Json, how: str = "move") -> list[Record]:
    """That what stands at `path` came from `source` by a move, and all that is below it."""
    records = [here(name, fingerprint(path), how, source=source)]
    for below, place in _below(path, name):
        records.append(here(below, fingerprint(place), how))
    return records


def _below(path: Path, name: Json) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    if kind_of(path) is not Kind.DIRECTORY:
        return found
    for folder, folders, files in os.walk(path):
        folders.sort()
        links = [each for each in folders if os.path.islink(os.path.join(folder, each))]
        for each in sorted((*files, *links)):
            place = Path(folder, each)
            if len(found) == BELOW_MAX:
                return found
            found.append((posixpath.join(normalised(name), place.relative_to(path).as_posix()), place))
    return found


def normalised(name: Json) -> str:
    """The path of a slot as records name it."""
    text = str(name)
    return posixpath.normpath(text if text.isascii() else os.fsencode(text).decode(errors="replace"))
