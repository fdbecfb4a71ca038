"""The members of a foreign .tar.gz or .zip, read as data: bounded, checked one by one, handed on as bytes. Writes no file.

Sources of the formats: POSIX pax (ustar), RFC 1952, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import hashlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from msgspec import Struct

from shipway.archive import END_BYTES_MAX, HostileArchive, check_end
from shipway.archive_names import Census, Member, MemberKind, check_target, hard_link, kept_mode

MEMBERS_MAX = 65_535
"""How many there may be: what a zip file can hold without the form for more than 4 GB."""

RATIO_MAX = 200
"""How many times larger than what it is packed in an archive may be, once it is larger than RATIO_FREE_BYTES."""

RATIO_FREE_BYTES = 16 << 20

_DIRECTORY_BYTES_MAX = 16 << 20
_HEADER_BYTES_MAX = 1 << 20
_AROUND_BYTES_MAX = 128 << 20
_TARGET_BYTES_MAX = 4096
_CHUNK = 1 << 16
_BLOCK = 512
_DOS_FOLDER = 0x10
_ENCRYPTED = 0x1
_UNIX = 3

Sink: TypeAlias = Callable[[str], AbstractContextManager[BinaryIO] | None]
"""Where the content of the file at a path goes; None: nowhere, it is only checked and digested."""

_FAULTS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


def nowhere(path: str) -> None:
    """The Sink of who only wants to know what is in an archive."""


def read_members(path: Path, bytes_max: int, sink: Sink = nowhere) -> list[Member]:
    """Everything in the archive at `path`, in its order, whose files have at most `bytes_max` bytes together.

    Raises HostileArchive where any of it is odd: then some contents may have been handed to `sink` already. Raises OSError
    where the archive itself cannot be opened.
    """
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(0)
        if begin.startswith(b"\x1f\x8b"):
            read: Callable[[BinaryIO, _Room, Sink], list[Member]] = _read_tar
        elif begin.startswith(b"PK"):
            read = _read_zip
        else:
            raise HostileArchive("it is neither a .tar.gz nor a .zip")
        try:
            return read(file, _Room(bytes_max, path.stat().st_size), sink)
        except HostileArchive:
            raise
        except _FAULTS as error:
            raise HostileArchive(f"it cannot be unpacked: {type(error).__name__}: {error}"[:200]) from error


class _Room:
    """How much more may be unpacked."""

    def __init__(self, bytes_max: int, packed: int) -> None:
        self.packed = packed
        self._bytes_max = bytes_max
        self._by_ratio = max(RATIO_FREE_BYTES, RATIO_MAX * packed)
        self._taken = 0
        self._around = 0

    def take_around(self, count: int) -> None:
        """What stands around the files: headers, and what is behind the last."""
        self._around += count
        if self._around > _AROUND_BYTES_MAX:
            raise HostileArchive(f"it holds more than {_AROUND_BYTES_MAX} bytes that belong to no file")

    def take(self, count: int) -> None:
        """Files of that many bytes."""
        self._taken += count
        if self._taken > self._bytes_max:
            raise HostileArchive(f"it holds more than {self._bytes_max} bytes: raise `max_bytes` if that is meant")
        if self._taken > self._by_ratio:
            raise HostileArchive(f"it holds more than {RATIO_MAX} times what it is packed in")


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _digested(reader: _Reader, size: int, path: str, sink: Sink) -> str:
    """Reads `size` bytes, which go to the sink; their digest."""
    digest = hashlib.sha256()
    place = sink(path)
    if place is None:
        for chunk in _chunks(reader, size, path):
            digest.update(chunk)
        return digest.hexdigest()
    with place as file:
        for chunk in _chunks(reader, size, path):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _chunks(reader: _Reader, size: int, path: str) -> Iterator[bytes]:
    while size:
        chunk = reader.read(min(size, _CHUNK))
        if not chunk:
            raise HostileArchive(f"`{path}` is not as long as it says")
        size -= len(chunk)
        yield chunk


# Tar.


class _Stream:
    """An unpacked tar file as `tarfile` reads it: forward only. What that reads for one header is bounded."""

    def __init__(self, unpacked: BinaryIO, room: _Room) -> None:
        self._unpacked = unpacked
        self._room = room
        self._at = 0
        self.header_bytes = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        self.header_bytes += size
        self._room.take_around(min(size, _BLOCK + _HEADER_BYTES_MAX))
        if self.header_bytes > _HEADER_BYTES_MAX:
            raise HostileArchive(f"what it says of one member has more than {_HEADER_BYTES_MAX} bytes")
        self.last = b"".join(self.chunks(size))
        return self.last

    def chunks(self, size: int) -> Iterator[bytes]:
        while size and (chunk := self._unpacked.read(min(size, _CHUNK))):
            self._at += len(chunk)
            size -= len(chunk)
            yield chunk

    def rest(self) -> Iterator[bytes]:
        while chunk := self._unpacked.read(_CHUNK):
            self._room.take_around(len(chunk))
            yield chunk

    def seek(self, to: int) -> None:
        if not 0 <= to - self._at <= _BLOCK:
            raise HostileArchive("its members are not one behind the other")
        for _ in self.chunks(to - self._at):
            pass

    def tell(self) -> int:
        return self._at


class _Content:
    """The content of the member that a stream stands at."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return b"".join(self._stream.chunks(size))


def _read_tar(file: BinaryIO, room: _Room, sink: Sink) -> list[Member]:
    found: list[Member] = []
    census = Census()
    with GzipFile(fileobj=file) as unpacked:
        stream = _Stream(unpacked, room)  # type: ignore[arg-type]  # it reads like one
        tar = tarfile.TarFile(fileobj=stream, errors="surrogateescape", encoding="utf-8")  # type: ignore[arg-type]
        files: dict[str, Member] = {}
        for info in _headers(tar, stream):
            member = _tar_member(info, stream, census, files, room, sink)
            if member is not None:
                found.append(member)
                files[member.path] = member
        # `tarfile` takes a damaged header for the end.
        if stream.last.strip(b"\0") or any(chunk.strip(b"\0") for chunk in stream.rest()):
            raise HostileArchive("it is damaged, or something stands behind its end")
    return found


def _headers(tar: tarfile.TarFile, stream: _Stream) -> Iterator[tarfile.TarInfo]:
    info = tar.next()
    count = 0
    while info is not None:
        count += 1
        if count > MEMBERS_MAX:
            raise HostileArchive(f"it has more than {MEMBERS_MAX} members")
        yield info
        stream.header_bytes = 0
        info = tar.next()


def _tar_member(
    info: tarfile.TarInfo, stream: _Stream, census: Census, files: dict[str, Member], room: _Room, sink: Sink
) -> Member | None:
    kind = _tar_kind(info)
    path = census.take(info.name, kind)
    mode = kept_mode(info.mode, kind)
    if kind is MemberKind.DIRECTORY:
        return Member(path, kind, mode) if path else None
    if kind is MemberKind.LINK:
        return Member(path, kind, mode, target=check_target(path, _utf8(info.linkname)))
    if info.islnk():
        origin = files[hard_link(info.linkname, census, path)]
        room.take(origin.size)
        return Member(path, kind, origin.mode, origin.size, origin.sha256, copy_of=origin.copy_of or origin.path)
    room.take(info.size)
    if stream.tell() != info.offset_data:
        raise HostileArchive(f"`{path}` is not where it says")
    return Member(path, kind, mode, info.size, _digested(_Content(stream), info.size, path, sink))


def _tar_kind(info: tarfile.TarInfo) -> MemberKind:
    if info.size < 0 or info.issparse():
        raise HostileArchive(f"`{info.name}` is a file with holes")
    if info.isdir():
        return MemberKind.DIRECTORY
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE):
        return MemberKind.FILE
    if info.issym():
        return MemberKind.LINK
    raise HostileArchive(f"`{info.name}` is a device, a pipe or another thing that is no file")


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise HostileArchive("the target of a link is no UTF-8") from None
    return text


# Zip.


class _Entry(Struct, frozen=True):
    info: zipfile.ZipInfo
    path: str
    kind: MemberKind


def _read_zip(file: BinaryIO, room: _Room, sink: Sink) -> list[Member]:
    begin = file.read(4)
    file.seek(max(0, room.packed - END_BYTES_MAX))
    check_end(begin, file.read(), room.packed, _DIRECTORY_BYTES_MAX)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if sum(info.compress_size for info in infos) > room.packed:
            raise HostileArchive("its members lie one over the other")
        census = Census()
        entries = [_zip_entry(info, census) for info in infos]
        return [_zip_member(archive, entry, room, sink) for entry in entries if entry.path]


def _zip_entry(info: zipfile.ZipInfo, census: Census) -> _Entry:
    # What Python makes of a name ends at its first NUL; other tools go on.
    if info.filename != info.orig_filename or "\\" in info.filename:
        raise HostileArchive("a member's name holds a NUL or a `\\`")
    if info.flag_bits & _ENCRYPTED:
        raise HostileArchive(f"`{info.filename}` is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise HostileArchive(f"`{info.filename}` is packed in a way that is not read: store or deflate it")
    kind = _zip_kind(info)
    return _Entry(info, census.take(info.filename, kind), kind)


def _zip_kind(info: zipfile.ZipInfo) -> MemberKind:
    if info.is_dir():
        if info.file_size:
            raise HostileArchive(f"`{info.filename}` is a folder with a content")
        return MemberKind.DIRECTORY
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if kind == stat.S_IFLNK:
        return MemberKind.LINK
    if kind not in (0, stat.S_IFREG) or info.external_attr & _DOS_FOLDER:
        raise HostileArchive(f"`{info.filename}` is a device, a pipe or another thing that is no file")
    return MemberKind.FILE


def _zip_member(archive: zipfile.ZipFile, entry: _Entry, room: _Room, sink: Sink) -> Member:
    info, path = entry.info, entry.path
    mode = kept_mode(info.external_attr >> 16 if info.create_system == _UNIX else 0, entry.kind)
    if entry.kind is MemberKind.DIRECTORY:
        return Member(path, entry.kind, mode)
    if entry.kind is MemberKind.LINK:
        with archive.open(info) as reader:
            target = reader.read(_TARGET_BYTES_MAX + 1)
        if len(target) > _TARGET_BYTES_MAX:
            raise HostileArchive(f"the target of the link `{path}` is too long")
        return Member(path, entry.kind, mode, target=check_target(path, target.decode()))
    room.take(info.file_size)
    with archive.open(info) as reader:
        digest = _digested(reader, info.file_size, path, sink)
        if reader.read(1):
            raise HostileArchive(f"`{path}` is longer than it says")
    return Member(path, entry.kind, mode, info.file_size, digest)
