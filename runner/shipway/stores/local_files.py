"""Records as files of this machine, for the processes that share a checkout. A killed process leaves nothing locked behind.

Every change is made under one guard file that the kernel gives free when its holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from shipway.errors import Reason
from shipway.store import Kept, Last, Presence, StoreError

_SUFFIX = ".json"
_GUARD = ".guard"
_SEPARATOR = "@"
"""Stands for the `/` of a key in its file's name: no part of a key has one, and all records lie in one folder."""


class LocalFiles:
    """A store in one folder, which is made when something is written. `presence` looks at processes by locks of the kernel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._presence = _Attendance(folder)

    @property
    def name(self) -> str:
        """What to call it."""
        return f"local files ({self._folder})"

    @property
    def presence(self) -> Presence:
        """Who is there, on this machine."""
        return self._presence

    def read(self, key: str) -> Kept | None:
        """The record, or None where there is none."""
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(f"cannot read `{self._path(key)}`", error) from error
        return Kept(content, _version(content))

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        """Replace the record if its version is still `before`, in one step."""
        with _guarded(self._folder):
            kept = self.read(key)
            if (kept.version if kept else None) != before:
                return None
            self._write(key, content)
        return _version(content)

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        """Every record whose key begins with `prefix`."""
        found: dict[str, Kept] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            key = path.name.removesuffix(_SUFFIX).replace(_SEPARATOR, "/")
            kept = self.read(key) if key.startswith(prefix) and not key.startswith(".") else None
            if kept is not None:
                found[key] = kept
        return found

    def last(self, key: str) -> Last | None:
        """The document with the greatest number."""
        found = self.entries(f"{key}/")
        if not found:
            return None
        place, kept = list(found.items())[-1]
        number, _, name = place.removeprefix(f"{key}/").partition(".")
        return Last(name, kept.content, number)

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        """Put a document behind those before it: as a record of its own, numbered."""
        with _guarded(self._folder):
            last = self.last(key)
            if (last.version if last else None) != after:
                return False
            self._write(f"{key}/{int(after or 0) + 1:09}.{name}", content)
        return True

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        """The documents under `key`, the latest first."""
        found = list(self.entries(f"{key}/").items())
        return [(name.removeprefix(f"{key}/").partition(".")[2], kept.content) for name, kept in reversed(found)]

    def close(self) -> None:
        """Nothing is held open between calls but who is present."""
        self._presence.close()

    def _write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        beside = path.with_name(f".{path.name}.new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            os.replace(beside, path)
        except OSError as error:
            raise _failed(f"cannot write `{path}`", error) from error

    def _path(self, key: str) -> Path:
        return self._folder / (key.replace("/", _SEPARATOR) + _SUFFIX)


class _Attendance:
    """Each who is present holds a kernel lock on a file of its own; when its process ends, the kernel lets go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, int] = {}

    def appear(self, name: str) -> None:
        """From now on `name` is present."""
        if name in self._open:
            return
        try:
            with _guarded(self._folder):  # between opening and locking nobody may find it absent, and remove it
                descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _failed(f"cannot write `{self._path(name)}`", error) from error
        self._open[name] = descriptor

    def is_present(self, name: str) -> bool:
        """Whether a process still holds that file; one that nobody holds is removed."""
        try:
            descriptor = os.open(self._path(name), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _failed(f"cannot read `{self._path(name)}`", error) from error
        try:
            with _guarded(self._folder):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    os.unlink(self._path(name))
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def leave(self, name: str) -> None:
        """Be present no longer."""
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            with suppress(OSError):
                os.unlink(self._path(name))
            os.close(descriptor)

    def close(self) -> None:
        """Leave under every name."""
        for name in list(self._open):
            self.leave(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.present"


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """Alone with the folder, among all processes. What a killed one held is free at once."""
    try:
        descriptor = os.open(folder / _GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _failed(f"cannot write in `{folder}`", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _failed(what: str, error: OSError) -> StoreError:
    return StoreError(
        f"{what}: {error.strerror or error}",
        reason=Reason.UNWRITABLE,
        next="make room or give permission there, then run again",
    )
