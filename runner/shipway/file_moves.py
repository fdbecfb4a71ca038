"""Moves, copies and removals of single things, across file systems too. Notes nothing; see `ledger_notes`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from shipway.file_state import Kind, kind_of


def move_over(new: Path, path: Path, copied_by: Callable[[Path], None]) -> None:
    """Put `new` in place of the file or link at `path`. `copied_by` is told of the file beside it that is needed for that on
    another file system, before there is one.
    """
    try:
        new.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        whole = beside(path)
        copied_by(whole)
        remove(whole)
        copy(new, whole)
        whole.replace(path)
        remove(new)


def beside(path: Path) -> Path:
    """Where a copy from another file system stands until it is whole."""
    return path.parent / f".shipway-{sha256(os.fsencode(path)).hexdigest()[:16]}"


def are_near(path: Path, scratch: Path) -> bool:
    """Whether a thing can be renamed from `scratch` to `path`: they are on one file system."""
    there = next(above for above in path.parents if above.is_dir())
    return there.stat().st_dev == scratch.stat().st_dev


def link_or_copy(path: Path, aside: Path) -> None:
    """Keep what stands at `path` at `aside` too."""
    try:
        os.link(path, aside, follow_symlinks=False)
    except OSError:  # another file system, one without hard links, or a file of somebody else
        copy(path, aside)


def copy(source: Path, target: Path) -> None:
    """Copy a directory, a file or a link, as it is."""
    if kind_of(source) is Kind.DIRECTORY:
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a directory with all in it, a file or a link; nothing where there is none."""
    if kind_of(path) is Kind.DIRECTORY:
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
