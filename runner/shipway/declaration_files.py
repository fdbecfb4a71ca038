"""The files of a declaration: base and overlay, read and merged. Knows no key's meaning."""

from __future__ import annotations

import re
from pathlib import Path

from shipway.errors import DeclarationError, Problem, Reason
from shipway.source import MAX_BYTES, SourceTree, load_failed, parse

DEFAULT_FILE = "shipway.yml"
"""What a call reads that names no file: the nearest one, in its folder or above."""

_TRAILING_NUMBER = re.compile("-[0-9]+$")


def overlays(file: Path, target: str) -> tuple[Path, ...]:
    """Where the overlay of `file` for `target` may stand, the first that exists being the one that is merged."""
    names = dict.fromkeys((target, _TRAILING_NUMBER.sub("", target)))
    suffixes = dict.fromkeys((file.suffix, ".yml", ".yaml"))
    return tuple(file.with_name(f"{file.stem}.{name}{suffix}") for name in names for suffix in suffixes)


def overlay_of(file: Path, target: str) -> Path | None:
    """The overlay of `file` that is merged for `target`, if there is one."""
    return next((path for path in overlays(file, target) if path.is_file()), None)


def read_merged(file: Path, root: Path, target: str | None) -> SourceTree:
    """`file` with its overlay for `target` merged in; file names are shown relative to `root`.

    Raises DeclarationError, of both files at once, for what keeps them from being read.
    """
    overlay = overlay_of(file, target) if target else None
    trees: list[SourceTree] = []
    refusals: list[Problem] = []
    for path in [file] if overlay is None else [file, overlay]:
        try:
            trees.append(parse(_content(path, root), shown_name(path, root)))
        except DeclarationError as error:
            if not error.problems:
                raise
            refusals += error.problems
    if refusals:
        raise load_failed([*refusals, *(problem for tree in trees for problem in tree.problems)], "yaml")
    return trees[0] if len(trees) == 1 else trees[0].overlaid(trees[1])


def _content(file: Path, root: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        text = f"`{shown_name(file, root)}` cannot be read: {(error.strerror or str(error)).lower()}"
        next_ = "write it, or name the file that is to be read; see docs/declaration.md"
        raise DeclarationError(text, reason=Reason.DECLARATION_MISSING, phase="load", next=next_) from error


def shown_name(file: Path, root: Path) -> str:
    """How a file is called in what is shown: relative to `root` where it lies there."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
