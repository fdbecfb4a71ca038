"""One node's output: from the raw file its child writes to, cleaned and masked into its log, the last part kept in memory."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shipway.redaction import Redacted, Redactor, trusted

TAIL_CHARACTERS = 8192
"""How much of a log's end is kept in memory and in the receipt."""

_CHUNK = 1 << 20

_Decoder = codecs.getincrementaldecoder("utf-8")

_CHUNKS_AT_ONCE = 2
"""A child may print faster than this reads: a turn of the loop must end all the same, or no timeout would be seen."""


class _Reading:
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

    `fault` says why the log is not whole (a full disk); the node's work does not depend on it.
    """

    def __init__(self, raw: str, log: str, redactor: Redactor) -> None:
        self._raw = raw
        self._log = log
        self._redactor = redactor
        self._reading: _Reading | None = None  # most steps print nothing
        # Mode 0600 from the start: between open and read it holds what was not masked yet. New, since another step may have
        # put a link or a pipe there.
        self.descriptor = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._position = 0
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
        return self._take(self._position + _CHUNKS_AT_ONCE * _CHUNK)

    def _take(self, end: int) -> str:
        """Take what is there up to `end`."""
        fresh = ""
        while self._position < end and (
            piece := os.pread(self.descriptor, min(_CHUNK, end - self._position), self._position)
        ):
            self._position += len(piece)
            if self._reading is None:
                self._reading = _Reading(self._redactor)
            fresh = (fresh + self._keep(self._reading.feed(piece)))[-TAIL_CHARACTERS:]
        return fresh

    def _rest(self, size: int) -> str:
        fresh = self._take(size)
        return fresh if self._reading is None else fresh + "".join(map(self._keep, self._reading.end()))

    @property
    def is_far_behind(self) -> bool:
        """Whether more was written than `pump` takes at once: to read it all now would hold everything else up."""
        return os.fstat(self.descriptor).st_size - self._position > _CHUNKS_AT_ONCE * _CHUNK

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
        end = min(size, self._position + _CHUNK) if self._is_given_up else size
        if end < size:
            # What is held back, since it may be the beginning of a secret, is left out as well.
            fresh, missing = self._take(end), f"{((size - end) >> 20) + 1} MiB of its output were not read"
            self._keep(trusted(f"\n{missing}: the run was ended\n"))
            self.fault = self.fault or f"the log is not whole: {missing}"
        else:
            fresh = self._rest(size) if size else ""
        os.close(self.descriptor)
        with suppress(OSError):
            os.unlink(self._raw)
        if self._sink is not None:
            os.close(self._sink)
            self._sink = None
            self._closed_with_log = True
        return fresh

    def _keep(self, text: Redacted) -> Redacted:
        if not text:
            return text
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]
        self._write(text.encode("utf-8", "replace"))
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


def salvage(raw: Path, log: Path | None, redactor: Redactor) -> None:
    """Add what a raw file holds that nobody read in time to `log`, cleaned and masked, and remove it; None only removes."""
    if log is not None:
        with (
            suppress(OSError),
            open(os.open(raw, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file,
        ):
            reading = _Reading(redactor)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(log, flags, 0o600), "wb") as kept:
                while piece := file.read(_CHUNK):
                    kept.write(reading.feed(piece).encode("utf-8", "replace"))
                kept.writelines(piece.encode("utf-8", "replace") for piece in reading.end())
    with suppress(OSError):
        os.unlink(raw)
