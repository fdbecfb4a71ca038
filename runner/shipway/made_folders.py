"""Which folders the nodes of one run made together, and who still needs them: the last to leave one removes it.

Knows no action and no journal; removes no folder that was there before the run, or that holds something.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shipway.action import Work
from shipway.canonical import Json
from shipway.file_state import Kind, Real, above_of, kind_of, real_folder
from shipway.notebook import NOTES, Notebook

_MODE = 0o755


class MadeFolders:
    """The folders that one run made, as one node sees them: per folder, a note of each node that claims it.

    To be used within `with notebook`: no other node makes, claims or leaves a folder meanwhile.
    """

    def __init__(self, node: str, notebook: Notebook) -> None:
        self._claim = node
        self._notebook = notebook
        self._there: set[str] = set()

    def above(self, path: str, real: Real = real_folder) -> list[str]:
        """The folders above `path`, outermost first, that are missing or that a node of this run made."""
        found: list[str] = []
        self._there = set()
        folder = above_of(path)
        while self._is_ours(folder, real):
            found.append(folder)
            folder = above_of(folder)
        return found[::-1]  # the next one was there before the run, and so were those above it

    def claims(self, folders: Iterable[str], real: Real = real_folder) -> list[tuple[str, str, Json]]:
        """The notes to be made before `make`, which say that this node needs these folders."""
        return [(_topic(folder, real), self._claim, True) for folder in folders]

    def make(self, folders: Iterable[str]) -> None:
        """Make those of `folders`, claimed and outermost first, that `above` found missing."""
        for folder in folders:
            if folder not in self._there:
                with suppress(FileExistsError):
                    os.mkdir(folder, _MODE)

    def leave(self, folder: Path) -> None:
        """Give up the claim on `folder`, and remove it if no other node claims it and it is empty. May be repeated."""
        topic = _topic(str(folder))
        claims = self._notebook.all(topic)
        is_others = len(claims) > (self._claim in claims)
        if kind_of(folder) is Kind.DIRECTORY and not is_others:
            _remove_empty(folder)
        self._notebook.note(topic, self._claim, None)

    def _is_ours(self, folder: str, real: Real) -> bool:
        kind = kind_of(folder)
        if kind is Kind.DIRECTORY:
            self._there.add(folder)
            return bool(self._notebook.all(_topic(folder, real)))
        return kind is Kind.ABSENT


def notebook_of(work: Work) -> Notebook:
    """The notebook of the run that `work` is part of; where nobody handed it one, that beside the scratch of its nodes."""
    return work.notebook or Notebook(work.recovery / NOTES)


def _topic(folder: str, real: Real = real_folder) -> str:
    return f"made {real(folder)}"


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:  # what others put into it since is theirs
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
