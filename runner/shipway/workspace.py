"""Where a repository keeps what Shipway leaves: `.shipway/` with runs and receipts. Writes files atomically, modes closed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from shipway.errors import Reason, UnreachableError

DIRECTORY = ".shipway"


class Workspace(Struct, frozen=True):
    """The directories of one repository. Nothing is made before it is needed."""

    root: Path

    @property
    def directory(self) -> Path:
        """`.shipway` at the root."""
        return self.root / DIRECTORY

    @property
    def receipts(self) -> Path:
        """Where sealed receipts are kept; their names sort by time."""
        return self.directory / "receipts"

    @property
    def journal(self) -> Path:
        """The journal of every run here."""
        return self.directory / "journal.sqlite"

    def run_directory(self, run: str) -> Path:
        """The directory of one run."""
        return self.directory / "runs" / run

    @property
    def records(self) -> Path:
        """Where the local store keeps its records."""
        return self.directory / "records"

    def make_records(self) -> Path:
        """The directory of the local store. Raises UnreachableError (`unwritable`) where it cannot be made."""
        try:
            self._make_own_directory()
            self.records.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(self.records, error) from error
        return self.records

    def make_directory(self) -> None:
        """Make sure that `.shipway` is there. Raises UnreachableError (`unwritable`) where it cannot be made."""
        try:
            self._make_own_directory()
        except OSError as error:
            raise unwritable(self.directory, error) from error

    def identity(self, fresh: Callable[[], str]) -> str:
        """A random text that names this folder, made by `fresh` where there is none: a journal copied elsewhere leaves it behind.

        Raises UnreachableError (`unwritable`) where it cannot be kept.
        """
        self.make_directory()
        path = self.directory / "workspace"
        with suppress(OSError):
            if not path.is_symlink():
                return path.read_text()
        text = fresh()
        write_atomically(path, text.encode())
        return text

    def make_run_directory(self, run: str) -> Path:
        """A directory private to one run. Raises UnreachableError (`unwritable`) where it cannot be made."""
        path = self.run_directory(run)
        try:
            self._make_own_directory()
            path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def write_receipt(self, name: str, content: bytes) -> Path:
        """Keep a sealed receipt. Raises UnreachableError (`unwritable`); the file is there whole or not at all."""
        path = self.receipts / name
        try:
            self._make_own_directory()
            self.receipts.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        write_atomically(path, content)
        return path

    def free_name(self, name: str) -> str:
        """The name of a receipt, with a number behind it where an earlier execution of the same run has left its own there."""
        stem, number = name.removesuffix(".json"), 1
        while (self.receipts / name).exists():
            number += 1
            name = f"{stem}.{number}.json"
        return name

    def make_heads(self) -> Path:
        """Where the notes are which receipt is last. Raises UnreachableError (`unwritable`) where that cannot be made."""
        heads = self.directory / "heads"
        try:
            self._make_own_directory()
            heads.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(heads, error) from error
        return heads

    def head(self, lifecycle: str, target: str) -> Path:
        """The note which receipt of a lifecycle and target is last."""
        return self.directory / "heads" / f"{lifecycle}@{target}.json"

    def heads_of(self, lifecycle: str | None) -> list[tuple[str, str]]:
        """The lifecycles and targets of which there is a note here, of one lifecycle or of all."""
        names = sorted(path.stem for path in (self.directory / "heads").glob("*@*.json"))
        found = [tuple(name.split("@", 1)) for name in names]
        return [(one, other) for one, other in found if lifecycle in (None, one)]

    def kept_receipts(self) -> list[Path]:
        """Every receipt that is kept here, the one that was sealed last first."""
        files = (path for path in self.receipts.glob("*.json") if path.is_file())
        return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def remove_scratch(self, run: str) -> None:
        """Remove what only a run in progress needs: raw output and exchange files; its logs and files stay."""
        for name in ("raw", "io"):
            shutil.rmtree(self.run_directory(run) / name, ignore_errors=True)

    def recovery(self, run: str) -> Path:
        """Where a run keeps what its undos need, such as the files it replaced. It outlives the run; made by whoever needs it."""
        return self.directory / "recovery" / run

    def drill(self, lifecycle: str) -> Path:
        """What drills of a lifecycle proved."""
        return self.directory / "drills" / f"{lifecycle}.json"

    def write_drill(self, lifecycle: str, content: bytes) -> None:
        """Keep what drills proved. Raises UnreachableError (`unwritable`)."""
        self._write_below(self.drill(lifecycle), content)

    def cache(self, name: str) -> Path:
        """What can be worked out again from what else is here; it may be removed at any time."""
        return self.directory / "cache" / name

    def write_cache(self, name: str, content: bytes) -> None:
        """Keep something there. Raises UnreachableError (`unwritable`)."""
        self._write_below(self.cache(name), content)

    def _write_below(self, path: Path, content: bytes) -> None:
        try:
            self._make_own_directory()
            path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        write_atomically(path, content)

    def kept_recoveries(self) -> list[str]:
        """The runs of which anything is kept that an undo may need."""
        try:
            return sorted(os.listdir(self.directory / "recovery"))
        except OSError:
            return []

    def remove_recovery(self, run: str) -> None:
        """Let go of what the undos of a run would need."""
        shutil.rmtree(self.recovery(run), ignore_errors=True)

    def _make_own_directory(self) -> None:
        ignore = self.directory / ".gitignore"
        names = ("runs", "recovery", "drills", "heads", "cache")
        own = (self.directory, ignore, *(self.directory / name for name in names), self.receipts, self.records)
        for place in own:
            if place.is_symlink():
                # It may have come with a pull request: what is written through it would be anywhere.
                raise OSError(errno.ELOOP, f"`{place.relative_to(self.root)}` is a link, which is not followed")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if not ignore.exists():
            # The directory ignores itself, so that a run never makes the checkout look changed.
            ignore.write_text("*\n")


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`: whoever reads it sees the old file or the new one. Raises UnreachableError (`unwritable`)."""
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UnreachableError:
    """The error for a place that cannot be written, saying which and why."""
    return UnreachableError(
        f"cannot write `{path}`: {error.strerror or error}",
        reason=Reason.UNWRITABLE,
        next="make room or give write permission there, then run again",
    )
