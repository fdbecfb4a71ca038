"""What the members of a foreign archive may be called and may lead to: one tree below one folder. Pure; opens nothing."""

from __future__ import annotations

import posixpath
import stat
import unicodedata
from enum import StrEnum
from pathlib import PureWindowsPath

from msgspec import Struct

from shipway.archive import HostileArchive

_NAME_BYTES_MAX = 255
_PATH_BYTES_MAX = 4096
_SHOWN_MAX = 80


class MemberKind(StrEnum):
    """What a member is; there is nothing else that is unpacked."""

    FILE = "file"
    LINK = "link"
    DIRECTORY = "directory"


class Member(Struct, frozen=True):
    """One thing to be unpacked: `path` relative, with `/`; `mode` as four octal digits.

    Of a file `size` and `sha256` (64 hex digits), and `copy_of` for one that is packed as a hard link to an earlier one; of a
    link its `target`.
    """

    path: str
    kind: MemberKind
    mode: str
    size: int = 0
    sha256: str = ""
    target: str = ""
    copy_of: str = ""


class Census:
    """The names of one archive as they come. Each raises HostileArchive for what cannot stand beside the others."""

    def __init__(self) -> None:
        self._kinds: dict[str, MemberKind] = {}
        self._told: set[str] = set()
        self._spellings: dict[str, str] = {}

    def take(self, name: str, kind: MemberKind) -> str:
        """The path of a member called `name`; empty for the folder that everything is unpacked into."""
        path = _checked(name)
        if not path:
            if kind is not MemberKind.DIRECTORY:
                raise HostileArchive(f"`{_shown(name)}` names the folder that everything is unpacked into")
            return path
        if path in self._told:
            raise HostileArchive(f"`{_shown(path)}` is in it more than once")
        self._told.add(path)
        for above in _above(path):
            self._put(above, MemberKind.DIRECTORY)
        self._put(path, kind)
        return path

    def is_file(self, path: str) -> bool:
        """Whether an earlier member is a regular file with that path."""
        return path in self._told and self._kinds[path] is MemberKind.FILE

    def _put(self, path: str, kind: MemberKind) -> None:
        found = self._kinds.setdefault(path, kind)
        if found is not kind:
            raise HostileArchive(f"`{_shown(path)}` is a {found.value} and a {kind.value} in it")
        # A file system that takes `A` and `a`, or two ways of writing `é`, for one name would put one over the other.
        folded = unicodedata.normalize("NFC", path).casefold()
        spelling = self._spellings.setdefault(folded, path)
        if spelling != path:
            raise HostileArchive(f"`{_shown(spelling)}` and `{_shown(path)}` are one name on some file systems")


def check_target(path: str, target: str) -> str:
    """`target` of the link at `path`. Raises HostileArchive for one that leads out of the folder that is unpacked into.

    No member lies behind a link, so `..` at its beginning climbs what are real folders; behind a name it could climb what that
    name leads to, and is refused.
    """
    parts = target.split("/")
    climbs = 0
    while climbs < len(parts) and parts[climbs] in ("..", "."):
        climbs += 1
    up = parts[:climbs].count("..")
    if not target or "\0" in target or target.startswith("/") or up > path.count("/") or ".." in parts[climbs:]:
        raise HostileArchive(f"the link `{_shown(path)}` leads out of it: `{_shown(target)}`")
    return target


def kept_mode(mode: int, kind: MemberKind) -> str:
    """The permission bits that a member is unpacked with: its own, without setuid and the like, writable by its owner only."""
    bits = stat.S_IMODE(mode) & 0o755
    match kind:
        case MemberKind.DIRECTORY:
            return f"{bits | 0o700 if bits else 0o755:04o}"
        case MemberKind.FILE:
            return f"{bits | 0o600 if bits else 0o644:04o}"
        case _:
            return "0777"


def hard_link(name: str, census: Census, at: str) -> str:
    """The path of the earlier file that a hard link at `at` is one with. Raises HostileArchive where there is none."""
    path = _checked(name)
    if not census.is_file(path):
        raise HostileArchive(f"the hard link `{_shown(at)}` leads to no file before it: `{_shown(name)}`")
    return path


def _checked(name: str) -> str:
    # To a reader that takes `\` for a separator it must not mean another place.
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        raise HostileArchive(f"`{_shown(name)}` is an absolute path")
    if ".." in parts:
        raise HostileArchive(f"`{_shown(name)}` leads out of it")
    if any(ord(character) < 32 or character == "\x7f" for character in name):
        raise HostileArchive(f"`{_shown(name)}` has a control character in its name")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise HostileArchive("a member's name is no UTF-8") from None
    if len(encoded) > _PATH_BYTES_MAX or any(len(part.encode()) > _NAME_BYTES_MAX for part in name.split("/")):
        raise HostileArchive(f"`{_shown(name)}` is too long for a name")
    path = posixpath.normpath(name) if name else ""
    return "" if path == "." else path


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _shown(name: str) -> str:
    text = name.encode("utf-8", "replace").decode()
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"
