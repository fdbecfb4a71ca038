"""What a killed attempt had printed and nobody had read yet: from its raw file into its log, cleaned, masked, and only once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from shipway.redaction import Redactor
from shipway.transcript import CHUNK, Reading


def salvage(raw: Path, log: Path | None, redactor: Redactor) -> None:
    """Add what a raw file holds that nobody read in time to `log`, cleaned and masked, and remove it; None only removes."""
    if log is not None:
        with (
            suppress(OSError),
            open(os.open(raw, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file,
        ):
            _skip_freed(file.fileno())
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(log, flags, 0o600), "rb+") as kept:
                pieces = _cleaned(file, redactor)
                head = b""
                for piece in pieces:
                    head += piece
                    if len(head) >= _KNOWN_BY:
                        break
                known = _known(kept.fileno(), head)
                for piece in chain([head], pieces):
                    kept.write(piece[known:])
                    known = max(0, known - len(piece))
    with suppress(OSError):
        os.unlink(raw)


_KNOWN_BY = 1 << 16
"""By how much of its beginning the output of a killed attempt is found in the log, in bytes."""


def _cleaned(file: BinaryIO, redactor: Redactor) -> Iterator[bytes]:
    reading = Reading(redactor)
    while piece := file.read(CHUNK):
        yield reading.feed(piece).encode("utf-8", "replace")
    for rest in reading.end():
        yield rest.encode("utf-8", "replace")


def _known(log: int, head: bytes) -> int:
    """How much of an output that begins with `head` is at the end of the log already: it had been read until the kill."""
    size, head = os.fstat(log).st_size, head[:_KNOWN_BY]
    if not size or not head:
        return 0
    if len(head) == _KNOWN_BY:
        import mmap  # late: only what was killed while it printed a lot

        with mmap.mmap(log, 0, access=mmap.ACCESS_READ) as there:
            found = there.rfind(head)
        if found >= 0:
            return size - found
    return _shared(os.pread(log, len(head), max(0, size - len(head))), head)


def _shared(tail: bytes, head: bytes) -> int:
    """The length of the longest end of `tail` that `head` begins with (the failure function of Knuth, Morris and Pratt)."""
    fails = [0] * len(head)
    length = 0
    for place in range(1, len(head)):
        while length and head[place] != head[length]:
            length = fails[length - 1]
        length += head[place] == head[length]
        fails[place] = length
    length = 0
    for byte in tail:
        while length and (length == len(head) or byte != head[length]):
            length = fails[length - 1]
        length += byte == head[length]
    return length


def _skip_freed(descriptor: int) -> None:
    """Go on where something is left of a file of which the beginning was given back to the disk."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.lseek(descriptor, 0, os.SEEK_DATA)
