"""One node's output: from the raw file its child writes to, cleaned and masked into its log, the last part kept in memory."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

from shipway.redaction import Redacted, Redactor, trusted

TAIL_CHARACTERS = 8192
"""How much of a log's end is kept in memory and in the receipt."""

CHUNK = 1 << 20


class Bounds(Struct, frozen=True):
    """How much of the disk the output of one attempt may take, in bytes.

    `log`: how much of it is kept. `behind`: by how much the child may be ahead of the reading, before what is between is left out.
    `freed`: after how much that was read its part of the raw file is given back to the disk.
    """

    log: int = 1 << 30
    behind: int = 1 << 30
    freed: int = 64 << 20


BOUNDS = Bounds()
"""A runner of GitHub has 14 GB of disk for everything.

Source: https://docs.github.com/en/actions/reference/runners/github-hosted-runners
"""

_SPREAD = 1 << 16
"""Over how many bytes a secret may be spread at the most, broken into lines."""

_Decoder = codecs.getincrementaldecoder("utf-8")

_CHUNKS_AT_ONCE = 2
"""A child may print faster than this reads: a turn of the loop must end all the same, or no timeout would be seen."""


class Reading:
    """Bytes as they come, as masked text: neither a character nor a secret is cut in two."""

    def __init__(self, redactor: Redactor) -> None:
        self._stream = redactor.stream()
        self._decoder = _Decoder("replace")

    def feed(self, piece: bytes) -> Redacted:
        return self._stream.feed(self._decoder.decode(piece))

    def end(self) -> Iterator[Redacted]:
        yield self._stream.feed(self._decoder.decode(b"", final=True))
        yield self._stream.flush()


class Transcript:
    """Reads the raw file as it grows; a log exists once there is something to read. Bounded memory for any output.

    `fault` says why the log is not whole (a full disk, more output than `bounds` allow); the node's work does not depend on it.
    """

    def __init__(self, raw: str, log: str, redactor: Redactor, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._raw = raw
        self._log = log
        self._redactor = redactor
        self._reading: Reading | None = None  # most steps print nothing
        # Mode 0600 from the start: between open and read it holds what was not masked yet. New, since another step may have
        # put a link or a pipe there.
        self.descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._position = self._freed = self._kept = self._missing = 0
        self._unsafe = 0
        self._is_amid = False
        self._is_given_up = False
        self._sink: int | None = None
        self.tail = ""
        self.fault = ""

    @property
    def log_path(self) -> str:
        """Where the log is, or empty while there was no output."""
        return self._log if self._sink is not None or self._closed_with_log else ""

    _closed_with_log = False

    def pump(self) -> str:
        """Take what was written since, a bounded part of it; as cleaned text (at most the last part of a large piece)."""
        most = self._position + _CHUNKS_AT_ONCE * CHUNK
        fresh = self._take(most)
        return fresh + self._catch_up(os.fstat(self.descriptor).st_size) if self._position == most else fresh

    def _take(self, end: int) -> str:
        """Take what is there up to `end`."""
        fresh = ""
        while self._position < end and (
            piece := os.pread(self.descriptor, min(CHUNK, end - self._position), self._position)
        ):
            self._position += len(piece)
            if self._reading is None:
                self._reading = Reading(self._redactor)
            fresh = (fresh + self._keep(self._reading.feed(self._from_line_start(piece))))[-TAIL_CHARACTERS:]
            if self._position - self._freed >= self._bounds.freed:
                self._free()
        return fresh

    def _catch_up(self, size: int) -> str:
        """Leave out what is between, where the child is too far ahead, and say so: until it were read the disk could be full."""
        missing = size - CHUNK - self._position
        if size - self._position <= self._bounds.behind or missing <= 0:
            return ""
        # What is held back, since it may be the beginning of a secret, is left out as well.
        self._reading, self._unsafe, self._is_amid = None, _SPREAD, True
        self._position += missing
        self._missing += missing
        self._free()
        return self._keep(trusted(f"\n{_mib(missing)} of its output were not read: it printed faster than that\n"))

    def _from_line_start(self, piece: bytes) -> bytes:
        """Without what comes behind what was left out, as far as it may be the rest of a secret."""
        if not self._is_amid:
            return piece
        cut = min(self._unsafe, len(piece))
        piece, self._unsafe = piece[cut:], self._unsafe - cut
        rest, self._is_amid = piece.partition(b"\n")[2], b"\n" not in piece
        return rest

    def _free(self) -> None:
        """Give the part of the raw file that was read back to the disk, where the system can: its size and places stay."""
        _punch(self.descriptor, self._freed, self._position - self._freed)
        self._freed = self._position

    def _rest(self, size: int) -> str:
        fresh = self._take(size)
        return fresh if self._reading is None else fresh + "".join(map(self._keep, self._reading.end()))

    @property
    def is_far_behind(self) -> bool:
        """Whether more was written than `pump` takes at once: to read it all now would hold everything else up."""
        return os.fstat(self.descriptor).st_size - self._position > _CHUNKS_AT_ONCE * CHUNK

    def give_up(self) -> None:
        """`close` is to read a bounded part and no more: for the end of a run that must not wait. `fault` says what is missing."""
        self._is_given_up = True

    def note(self, text: str) -> None:
        """Add a line of Shipway's or an in-process action's own to the log."""
        self._keep(self._redactor.clean(text if text.endswith("\n") else text + "\n"))

    def close(self) -> str:
        """Take the rest, give back the descriptors, remove the raw file; the last text that came."""
        # Up to here and no further: a process that left its group could go on writing for ever.
        size = os.fstat(self.descriptor).st_size
        ahead = self._catch_up(size)
        end = min(size, self._position + CHUNK) if self._is_given_up else size
        if end < size:
            # What is held back, since it may be the beginning of a secret, is left out as well.
            fresh, missing = self._take(end), f"{_mib(size - end)} of its output were not read"
            self._keep(trusted(f"\n{missing}: the run was ended\n"))
            self.fault = self.fault or f"the log is not whole: {missing}"
        else:
            fresh = self._rest(size) if size else ""
        fresh, self.fault = ahead + fresh, self.fault or self._shortened()
        os.close(self.descriptor)
        with suppress(OSError):
            os.unlink(self._raw)
        if self._sink is not None:
            os.close(self._sink)
            self._sink = None
            self._closed_with_log = True
        return fresh

    def _shortened(self) -> str:
        """What `bounds` left out of the log."""
        missing = f"{_mib(self._missing)} of its output were not read" if self._missing else ""
        full = f"it is more than {_mib(self._bounds.log)}" if self._kept >= self._bounds.log else ""
        why = "; ".join(filter(None, (missing, full)))
        return f"the log is not whole: {why}" if why else ""

    def _keep(self, text: Redacted) -> Redacted:
        if not text:
            return text
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]
        if self._kept < self._bounds.log:
            content = text.encode("utf-8", "replace")
            self._kept += len(content)
            self._write(content)
            if self._kept >= self._bounds.log:
                self._write(f"\nmore than {_mib(self._bounds.log)}: what follows is not kept\n".encode())
        return text

    def _write(self, content: bytes) -> None:
        if self.fault:
            return
        try:
            if self._sink is None:
                # A step may leave a link or a pipe under the name of another one's log: neither is followed or waited for.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                self._sink = os.open(self._log, flags, 0o600)
            view = memoryview(content)
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError as error:
            self.fault = f"the log is not whole: {error.strerror}"


def _mib(size: int) -> str:
    return f"{-(-size >> 20)} MiB"


_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Modes of fallocate(2). Source: https://man7.org/linux/man-pages/man2/fallocate.2.html"""


def _punch(descriptor: int, start: int, length: int) -> None:
    """Give a part of a file back to the disk; where that cannot be done, nothing."""
    if sys.platform != "linux":
        return
    import ctypes  # late: few steps print that much

    library = ctypes.CDLL(None)
    punch = getattr(library, "fallocate64", None) or library.fallocate
    punch(descriptor, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_longlong(start), ctypes.c_longlong(length))
