"""What stands at a path, in words that can be compared and shown, and which paths a slot may name. Changes no file."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from shipway.action import ActionFailed
from shipway.canonical import Json

SHOWN_BYTES_MAX = 64 * 1024
"""Longer texts are described by digest and size only."""

ABSENT = "absent"
"""The fingerprint of a path where nothing is."""

LOOK = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC
"""How a folder is opened by which only its place, or what is in it, is to be known."""

_MODE = re.compile(r"[0-7]{3,4}")
_READ_BY_ALL = stat.S_IROTH


Real: TypeAlias = Callable[[str], str]
"""Gives the path of a folder without links, as `real_folder` does."""


class Kind(StrEnum):
    """What stands at a path; a link is never followed. `other` is a pipe, a socket or a device."""

    ABSENT = "absent"
    FILE = "file"
    LINK = "link"
    DIRECTORY = "directory"
    OTHER = "other"


def kind_of(path: Path | str) -> Kind:
    """What stands at `path`. Raises OSError where that cannot be seen."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Kind.ABSENT
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.FILE if stat.S_ISREG(mode) else Kind.OTHER


def link_at(path: Path | str) -> str | None:
    """What the link at `path` says; None where nothing stands there, or no link. Raises OSError where that cannot be seen."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def fingerprint(path: Path) -> str:
    """One line that changes when what stands at `path` does: kind, mode, content of a file or target of a link.

    Of a directory only its kind and mode: what is in it moves along with it and is never lost.
    """
    match kind_of(path):
        case Kind.FILE:
            return file_fingerprint(mode_of(path), file_sha256(path))
        case Kind.LINK:
            return link_fingerprint(os.readlink(path))
        case Kind.DIRECTORY:
            return f"directory {mode_of(path)}"
        case kind:
            return kind.value


def file_fingerprint(mode: str, sha256: str) -> str:
    """The fingerprint of a regular file with this mode and content."""
    return f"file {mode} {sha256}"


def link_fingerprint(target: str) -> str:
    """The fingerprint of a link with this target; digested, since a target may be no valid text."""
    return f"link {hashlib.sha256(os.fsencode(target)).hexdigest()}"


def file_sha256(path: Path) -> str:
    """64 hex digits over the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mode_of(path: Path) -> str:
    """The permission bits as four octal digits, `0644`."""
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def parse_mode(text: Json) -> str:
    """The mode as four octal digits. Raises ActionFailed for anything but three or four of them."""
    if not isinstance(text, str) or not _MODE.fullmatch(text):
        raise ActionFailed(f'`mode` is `{text}`: write it as octal digits in quotes, such as "0644"')
    return text.rjust(4, "0")


def describe(path: Path | str, *, with_content: bool = False, kind: Kind | None = None) -> Json:
    """What stands at `path` as a plan shows it, None where nothing does; `kind` is what it was just found to be.

    A file: `kind`, `mode`, `size`, `digest`, and `content` if asked for, where it is a text that everyone may read and no
    longer than SHOWN_BYTES_MAX; one that may not be read has neither.
    A link: `kind`, `target`. A directory: `kind`, `mode`, and how many `entries` are below it.
    """
    match kind_of(path) if kind is None else kind:
        case Kind.ABSENT:
            return None
        case Kind.FILE:
            return _describe_file(Path(path), with_content)
        case Kind.LINK:
            return describe_link(os.readlink(path))
        case Kind.DIRECTORY:
            entries = sum(len(folders) + len(files) for _, folders, files in os.walk(path))
            return {"kind": Kind.DIRECTORY.value, "mode": mode_of(Path(path)), "entries": entries}
        case kind:
            return {"kind": kind.value}


def describe_content(content: bytes, mode: str, *, with_content: bool) -> dict[str, Json]:
    """What `describe` will say of a file with this content and mode."""
    described: dict[str, Json] = {
        "kind": Kind.FILE.value,
        "mode": mode,
        "size": len(content),
        "digest": "sha256:" + hashlib.sha256(content).hexdigest(),
    }
    if with_content and len(content) <= SHOWN_BYTES_MAX and int(mode, 8) & _READ_BY_ALL:
        text = _as_text(content)
        if text is not None:
            described["content"] = text
    return described


def describe_link(target: str) -> dict[str, Json]:
    """What `describe` will say of a link with this target."""
    return {"kind": "link", "target": shown_target(target)}


def shown_target(target: str) -> str:
    """What a link says, as text: it may be none."""
    return target if target.isascii() else os.fsencode(target).decode(errors="replace")


def _describe_file(path: Path, with_content: bool) -> Json:
    size = path.lstat().st_size
    try:
        if size <= SHOWN_BYTES_MAX:
            return describe_content(path.read_bytes(), mode_of(path), with_content=with_content)
        digest = "sha256:" + file_sha256(path)
    except PermissionError:
        return {"kind": Kind.FILE.value, "mode": mode_of(path), "size": size}
    return {"kind": Kind.FILE.value, "mode": mode_of(path), "size": size, "digest": digest}


def _as_text(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def is_inside(path: str, folder: str) -> bool:
    """Whether a normalised absolute path is `folder`, or below it."""
    return path == folder or path.startswith(f"{folder}/") or folder == "/"


def real_folder(path: str, above: Real | None = None) -> str:
    """The path of a folder without links, as `os.path.realpath` has it, which asks for every part of the path.

    Thousands of targets ask for theirs: where there is one, the kernel tells it at once (proc_pid_fd(5)). Where there is none,
    `above` gives that of the folder it would be in: by default this function.
    """
    try:
        descriptor = os.open(path, LOOK)
    except FileNotFoundError:
        if os.path.islink(path) or path == "/":
            return os.path.realpath(path)
        return os.path.join((above or real_folder)(os.path.dirname(path)), os.path.basename(path))
    except OSError:
        return os.path.realpath(path)
    try:
        return place_held(descriptor, path)
    finally:
        os.close(descriptor)


def place_held(descriptor: int, path: str) -> str:
    """Where the folder is, without links, that was opened as `path`; where the kernel does not tell, where `path` leads now."""
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(path)
    return found if os.path.isabs(found) and not found.endswith(" (deleted)") else os.path.realpath(path)


def above_of(path: str) -> str:
    """The folder that a normalised absolute path is in; of `/` itself."""
    return path.rpartition("/")[0] or "/"


def real_end(path: str, real: Real = real_folder) -> str:
    """A normalised absolute path without links on its way; its last part is not followed."""
    above, _, name = path.rpartition("/")
    led = real(above or "/")
    return path if led == above else f"{led.rstrip('/')}/{name}"


class _Remembered(dict[str, str]):
    """What `real_folder` said, by path. Above a folder that no link leads to there is none either: nobody asks for those."""

    def __missing__(self, path: str) -> str:
        found = self[path] = real_folder(path, self.__getitem__)
        if found == path:
            while (path := above_of(path)) not in self:
                self[path] = path
        return found


def remembering() -> Real:
    """As `real_folder`, asked once for each folder: for as long as the world stands still, or one node is at work."""
    return _Remembered().__getitem__


def locate(root: Path, text: Json, slot: str = "path", real: Real = real_folder) -> Path:
    """The place that a slot names; its last part, if a link, is not followed.

    As `place_of`, whose text it makes a path of.
    """
    return Path(place_of(root, text, slot, real))


def place_of(root: Path, text: Json, slot: str = "path", real: Real = real_folder) -> str:
    """The normalised absolute path that a slot names.

    A relative path stays inside `root`, links on its way included; an absolute one is taken as written. Raises ActionFailed
    for a path that is empty or leads out of `root`. `real` gives folders without links: who asks often for one lends a memory.
    """
    if not isinstance(text, str) or not text or "\0" in text:
        raise ActionFailed(f"`{slot}` is not set: it takes a path")
    base = str(root)
    if text.startswith("/"):
        return os.path.normpath(text)
    place = f"{base}/{text}" if base != "/" else f"/{text}"
    if text[0] == "." or text[-1] == "/" or "/." in text or "//" in text:
        place = os.path.normpath(place)  # nothing else of a path is ever normalised away
    above = place if place == base else above_of(place)
    # Where no link is on the way, it leads to where it says.
    if not is_inside(place, base) or ((led := real(above)) != above and not is_inside(led, real(base))):
        raise ActionFailed(f"`{slot}` `{text}` leads out of the workspace; write an absolute path if that is meant")
    return place


def locate_target(root: Path, text: Json, slot: str = "path", real: Real = real_folder) -> Path:
    """As `target_place`, whose text it makes a path of."""
    return Path(target_place(root, text, slot, real))


def target_place(root: Path, text: Json, slot: str = "path", real: Real = real_folder) -> str:
    """Like `place_of`, for a place that will be changed: refuses the workspace itself and every folder it is in."""
    place = place_of(root, text, slot, real)
    if is_inside(real(str(root)), real_end(place, real)):
        raise ActionFailed(f"`{slot}` `{text}` holds the workspace, which is not replaced or removed")
    return place
