"""Which folders the nodes of one run made together, and who still needs them: the last to leave one removes it.

Knows no action and no journal; removes no folder that was there before the run, or that holds something.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from shipway.action import Work
from shipway.file_state import Kind, kind_of

_MODE = 0o755


class MadeFolders:
    """The folders that one run made, as one node sees them: per folder, on disk, an empty file for each node that claims it."""

    def __init__(self, work: Work) -> None:
        self._place = _scratch_of_run(work) / ".made"
        self._claim = _digest(work.node.id)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it no other node makes, claims or leaves a folder. Ends with the process, should that be killed."""
        self._place.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def above(self, path: Path) -> list[Path]:
        """The folders above `path`, outermost first, that are missing or that a node of this run made."""
        found: list[Path] = []
        for folder in path.parents:
            if not self._is_ours(folder):
                break  # it was there before the run, and so were those above it
            found.append(folder)
        return found[::-1]

    def make(self, folder: Path) -> None:
        """Claim `folder`, then make it if it is missing."""
        claims = self._claims(folder)
        claims.mkdir(exist_ok=True)
        (claims / self._claim).touch()
        with suppress(FileExistsError):
            folder.mkdir(_MODE)

    def leave(self, folder: Path) -> None:
        """Give up the claim on `folder`, and remove it if no other node claims it and it is empty. May be repeated."""
        claims = self._claims(folder)
        if kind_of(folder) is Kind.DIRECTORY and not self._claimants(claims) - {self._claim}:
            _remove_empty(folder)
        (claims / self._claim).unlink(missing_ok=True)

    def _is_ours(self, folder: Path) -> bool:
        kind = kind_of(folder)
        return kind is Kind.ABSENT or (kind is Kind.DIRECTORY and self._is_claimed(folder))

    def _is_claimed(self, folder: Path) -> bool:
        try:
            with os.scandir(self._claims(folder)) as claimants:
                return next(claimants, None) is not None
        except FileNotFoundError:
            return False

    def _claims(self, folder: Path) -> Path:
        return self._place / _digest(os.path.realpath(folder))

    def _claimants(self, claims: Path) -> set[str]:
        try:
            return set(os.listdir(claims))
        except FileNotFoundError:
            return set()


def _scratch_of_run(work: Work) -> Path:
    """Where the nodes of a run have their scratch, each under its id; that of the node alone where it is not so."""
    parts = Path(work.node.id).parts
    return work.scratch.parents[len(parts) - 1] if work.scratch.parts[-len(parts) :] == parts else work.scratch


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:  # what others put into it since is theirs
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _digest(name: str) -> str:
    return sha256(os.fsencode(name)).hexdigest()[:32]
