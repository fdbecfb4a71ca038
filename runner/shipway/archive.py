"""A zip file of somebody else, read as data: everything is bounded, nothing is written, and what is odd is refused.

Of the format only what actions/upload-artifact writes is taken: plain files, stored or deflated, in one small directory.
Source of the format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath, PureWindowsPath

ARCHIVE_BYTES_MAX = 20_000_000
"""A plan of 50 MB has this size when it is packed badly, one of 5,000 nodes a fiftieth of it."""

UNPACKED_BYTES_MAX = 50_000_000

RATIO_MAX = 200
"""How much larger a member may be than what it is packed in. A plan of 10,000 equal nodes comes to 60."""

DIRECTORY_BYTES_MAX = 4_096
"""Of the list of members: some twenty with ordinary names."""

_END = b"PK\x05\x06"
_END_LENGTH = 22
_END64 = b"PK\x06\x07"
_END64_LENGTH = 20
_COMMENT_MAX = 65_535
END_BYTES_MAX = _END64_LENGTH + _END_LENGTH + _COMMENT_MAX
"""How much of a file its end may be, with a comment."""

_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


class HostileArchive(ValueError):
    """The archive is not one that the action uploads; the message says what is wrong with it, and quotes no content."""


def read_archive(content: bytes, wanted: Collection[str]) -> Mapping[str, bytes]:
    """The members of a zip file by name, all of which have to be among `wanted`.

    Raises HostileArchive for anything but plain files under these names, each once, within the sizes above.
    """
    if len(content) > ARCHIVE_BYTES_MAX:
        raise HostileArchive(f"it has {len(content)} bytes, more than {ARCHIVE_BYTES_MAX}")
    check_end(content[:4], content[-END_BYTES_MAX:], len(content), DIRECTORY_BYTES_MAX)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_names(members, wanted)
            room = UNPACKED_BYTES_MAX
            found: dict[str, bytes] = {}
            for member in members:
                _check_member(member)
                found[member.filename] = _read(archive, member, room)
                room -= len(found[member.filename])
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        raise HostileArchive(f"it cannot be unpacked: {type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise HostileArchive("a member's name is no text") from error
    return found


def check_end(begin: bytes, end: bytes, size: int, directory_bytes_max: int) -> None:
    """Refuse what would make the reader take a long list of members into memory, before it is asked for.

    `begin` are the first bytes of a file of `size` bytes, `end` its last END_BYTES_MAX. Raises HostileArchive.
    """
    if not begin.startswith(b"PK\x03\x04"):
        raise HostileArchive("it does not begin as a zip file with members")
    at = end.rfind(_END, max(0, len(end) - _END_LENGTH - _COMMENT_MAX))
    if at < 0 or at + _END_LENGTH > len(end):
        raise HostileArchive("it does not end as a zip file")
    if at >= _END64_LENGTH and end[at - _END64_LENGTH :].startswith(_END64):
        raise HostileArchive("it is in the form for more than 4 GB")
    disk, first_disk, here, total, length, offset, comment = struct.unpack("<4H2LH", end[at + 4 : at + _END_LENGTH])
    if at + _END_LENGTH + comment != len(end):
        raise HostileArchive("something stands behind its end")
    if disk or first_disk or here != total:
        raise HostileArchive("it is one part of several")
    if length > directory_bytes_max:
        raise HostileArchive(f"its list of members has {length} bytes, more than {directory_bytes_max}")
    if offset + length != size - len(end) + at:
        raise HostileArchive("its list of members is not where it says")


def _check_names(members: Collection[zipfile.ZipInfo], wanted: Collection[str]) -> None:
    seen: set[str] = set()
    for member in members:
        # What Python makes of a name ends at its first NUL; other tools go on.
        name = member.orig_filename
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or PureWindowsPath(name).drive:
            raise HostileArchive("a member has an absolute path")
        if ".." in path.parts:
            raise HostileArchive("a member's path leads out of the archive")
        if name != member.filename or name not in wanted:
            raise HostileArchive("it has a member that does not belong there")
        if name in seen:
            raise HostileArchive(f"`{name}` is in it more than once")
        seen.add(name)


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise HostileArchive(f"`{name}` is a link")
    if kind not in (0, stat.S_IFREG) or member.external_attr & 0x10:
        raise HostileArchive(f"`{name}` is a device, a folder or another thing that is no file")
    if member.flag_bits & _ENCRYPTED:
        raise HostileArchive(f"`{name}` is encrypted")
    if member.compress_type not in _METHODS:
        raise HostileArchive(f"`{name}` is packed in a way that is not used for artifacts")
    if member.file_size > UNPACKED_BYTES_MAX:
        raise HostileArchive(f"`{name}` has {member.file_size} bytes, more than {UNPACKED_BYTES_MAX}")
    if member.file_size > RATIO_MAX * max(member.compress_size, 1):
        raise HostileArchive(f"`{name}` is more than {RATIO_MAX} times as large as what it is packed in")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, room: int) -> bytes:
    """The content of a member, of at most `room` bytes; read only so far as it says it is long, and checked against that."""
    with archive.open(member) as file:
        content = file.read(min(room, member.file_size) + 1)
    if len(content) > room:
        raise HostileArchive(f"its members have more than {UNPACKED_BYTES_MAX} bytes together")
    if len(content) != member.file_size:
        raise HostileArchive(f"`{member.filename}` is not as long as it says")
    return content
