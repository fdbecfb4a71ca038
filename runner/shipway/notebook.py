"""What the nodes of one run note down before they change something, in one file for all of them: an inode each costs more.

Knows nothing of what is noted. Survives a killed process, not a power cut.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import msgspec

from shipway.canonical import Json

NOTES = ".notes"
"""The name of a run's notebook, in the folder that has a folder for each node; no node is named like it."""

_NOTHING: Mapping[str, Json] = {}


class Notebook:
    """Notes by topic and name; the last one counts. Within `with`, no other node, thread or process reads or writes any.

    One line of JSON for each, added to the file: `[topic, name, value]`, where null takes a note back.
    """

    def __init__(self, path: Path) -> None:
        """The file at `path` is made, and the folders above it, once something is noted."""
        self._path = path
        self._text = str(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._descriptor: int | None = None
        self._closing: Callable[[], object] = lambda: None
        self._read = 0
        self._notes: dict[str, dict[str, Json]] = {}

    def __enter__(self) -> Notebook:
        self._lock.acquire()
        try:
            if not self._depth:
                self._hold(self._opened())
            self._depth += 1
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth and self._descriptor is not None:
            _lock(self._descriptor, is_mine=False)
        self._lock.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """As `with` the notebook, for who will use it many times; one that cannot be opened is left for them to find."""
        with ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(self)
            yield

    def read(self, topic: str, name: str) -> Json:
        """The note of that name, None where there is none. Makes no file."""
        if self._descriptor is None and not os.path.exists(self._text):
            return None
        with self:
            return self._notes.get(topic, _NOTHING).get(name)

    def all(self, topic: str) -> Mapping[str, Json]:
        """The notes of a topic by name. To be asked, and looked at, within `with`."""
        return self._notes.get(topic, _NOTHING)

    def note(self, topic: str, name: str, value: Json) -> None:
        """Add a note, or take back the one of that name where `value` is None. Raises OSError, with nothing noted."""
        self.note_all(((topic, name, value),))

    def note_all(self, notes: Iterable[tuple[str, str, Json]]) -> None:
        """As `note` of each topic, name and value, written at once: where it is killed on the way, the first of them count."""
        with self:
            assert self._descriptor is not None
            lines = b"".join(map(_line, notes := list(notes)))
            if os.write(self._descriptor, lines) < len(lines):
                os.ftruncate(self._descriptor, self._read)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._text)
            self._read += len(lines)
            for topic, name, value in notes:
                self._keep(topic, name, value)

    def close(self) -> None:
        """Give the file back; whoever reads or notes something later opens it again."""
        with self._lock:
            self._closing()
            self._descriptor = None
            self._read = 0
            self._notes.clear()

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._descriptor = os.open(self._path, flags, 0o600)
            except FileNotFoundError:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, flags, 0o600)
            self._closing = weakref.finalize(self, os.close, self._descriptor)
        return self._descriptor

    def _hold(self, descriptor: int) -> None:
        """Wait until nobody else is at it, then read what they added. Ends with the process, should that be killed."""
        _lock(descriptor, is_mine=True)
        size = os.fstat(descriptor).st_size
        if size <= self._read:
            return
        fresh = os.pread(descriptor, size - self._read, self._read)
        whole, end, torn = fresh.rpartition(b"\n")
        if torn:
            # Whoever wrote it was killed on the way, and did not do what it notes.
            os.ftruncate(descriptor, self._read + len(whole) + len(end))
        self._read += len(whole) + len(end)
        for line in whole.splitlines():
            self._keep(*json.loads(line))

    def _keep(self, topic: str, name: str, value: Json) -> None:
        notes = self._notes.setdefault(topic, {})
        if value is None:
            notes.pop(name, None)
        else:
            notes[name] = value


def _line(note: tuple[str, str, Json]) -> bytes:
    try:
        return msgspec.json.encode(note) + b"\n"
    except UnicodeEncodeError:  # a path may be no text
        return json.dumps(note).encode() + b"\n"


def _lock(descriptor: int, *, is_mine: bool) -> None:
    import fcntl  # late: there is none on Windows, where plans are made

    fcntl.flock(descriptor, fcntl.LOCK_EX if is_mine else fcntl.LOCK_UN)
