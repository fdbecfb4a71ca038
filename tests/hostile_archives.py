"""Zip files that no action uploads, each made of a good one and named for what is wrong with it."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator

GOOD_NAME = "plan.json"


def packed(
    members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, mode: int = stat.S_IFREG | 0o644, attr: int = 0
) -> bytes:
    """A zip file of these members, all of the same kind."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(_info(name, method, mode, attr), data)
    return content.getvalue()


def _info(name: str, method: int, mode: int, attr: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(GOOD_NAME)
    # Set afterwards: the constructor would cut the name at a NUL and mend its slashes.
    info.filename = info.orig_filename = name
    info.compress_type, info.create_system, info.external_attr = method, 3, mode << 16 | attr
    return info


def hostile_archives(plan: bytes) -> Iterator[tuple[str, bytes]]:
    """The corpus: what is wrong, and the archive, which holds the whole `plan` wherever it can."""
    good = packed({GOOD_NAME: plan})
    yield "nothing at all", b""
    yield "no zip file", b"<html>not found</html>"
    yield "the plan itself", plan
    yield "cut off", good[: len(good) // 2]
    yield "cut off at its last byte", good[:-1]
    yield "something before it", b"#!/bin/sh\nexit\n" + good
    yield "something behind it", good + b"\n"
    yield "a comment with another end in it", _with_comment(good, b"PK\x05\x06" + bytes(18))
    for name in (
        "../plan.json",
        "a/../../plan.json",
        "..\\plan.json",
        "/plan.json",
        "/etc/cron.d/x",
        "C:\\plan.json",
        "C:plan.json",
    ):
        yield f"the path {name}", packed({GOOD_NAME: plan, name: plan})
    yield "a member below a folder", packed({"folder/plan.json": plan})
    yield "a member too many", packed({GOOD_NAME: plan, "run.sh": b"#!/bin/sh\n"})
    yield "a journal", packed({GOOD_NAME: plan, "journal.bin": b"x"})
    yield "a name that goes on behind a NUL", packed({"plan.json\0.sh": plan})
    yield "the same name twice", _twice(plan)
    yield "the same bytes twice", _overlapping(plan)
    yield "no plan", packed({"pull-request.json": b'{"number":7}'})
    yield "no member", packed({})
    yield "a link", packed({GOOD_NAME: b"/proc/self/environ"}, mode=stat.S_IFLNK | 0o777)
    for kind in ("S_IFCHR", "S_IFBLK", "S_IFIFO", "S_IFSOCK", "S_IFDIR"):
        yield f"a thing of kind {kind}", packed({GOOD_NAME: plan}, mode=getattr(stat, kind) | 0o666)
    yield "a folder of DOS", packed({GOOD_NAME: plan}, attr=0x10)
    yield "a folder by its name", packed({"plan.json/": b""})
    yield "encrypted", _patched(good, flag=1)
    yield "bzip2", packed({GOOD_NAME: plan}, method=zipfile.ZIP_BZIP2)
    yield "lzma", packed({GOOD_NAME: plan}, method=zipfile.ZIP_LZMA)
    yield "a way of packing that nobody knows", _patched(good, method=99)
    yield "a bomb", packed({GOOD_NAME: bytes(40_000_000)})
    yield "more than may be unpacked", packed({GOOD_NAME: _noise(60_000_000)})
    yield "a size that is not told", _patched(good, size=10)
    yield "a size that is too large", _patched(good, size=len(plan) + 10)
    yield "a size of 4 GB", _patched(good, size=0xFFFFFFFF)
    yield "another checksum", _patched(good, crc=1)
    yield "one byte flipped", _flipped(good)
    yield "another name in its list", good.replace(b"plan.json", b"plan.jsox", 1)
    yield "the form for more than 4 GB", _with_end64(good)
    yield "a list of ten thousand members", packed({f"m{number}": b"" for number in range(10_000)})
    yield "a list that is elsewhere", _with_end(good, offset=1)
    yield "one disk of two", _with_end(good, disk=1)
    yield "a name that is no text", _not_text(plan)


def _noise(count: int) -> bytes:
    """Bytes that pack to a tenth: no bomb by ratio."""
    return b"".join(b"%d" % (number * 2654435761 % 2**32) + b" " * 90 for number in range(count // 100))


def _twice(plan: bytes) -> bytes:
    other = packed({GOOD_NAME: plan, "plan.jsox": b"{}"})
    return other.replace(b"plan.jsox", b"plan.json")


def _overlapping(plan: bytes) -> bytes:
    """Two entries of the list for one place in the file. Source: https://www.bamsoftware.com/hacks/zipbomb/"""
    good = packed({GOOD_NAME: plan})
    at = good.index(b"PK\x01\x02")
    end = good.index(b"PK\x05\x06")
    entry = good[at:end]
    other = entry.replace(b"plan.json", b"pull-request.json")
    other = other[:28] + struct.pack("<H", len("pull-request.json")) + other[30:]
    entries = entry + other
    return good[:at] + entries + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 2, 2, len(entries), at, 0)


def _patched(good: bytes, *, flag: int = 0, method: int = -1, size: int = -1, crc: int = 0) -> bytes:
    """The only entry of the list with other facts; its local header is changed alike, but for the checksum."""

    def change(data: bytearray, at: int, shift: int) -> None:
        if flag:
            struct.pack_into("<H", data, at + 6 + shift, struct.unpack_from("<H", data, at + 6 + shift)[0] | flag)
        if method >= 0:
            struct.pack_into("<H", data, at + 8 + shift, method)
        if crc:
            struct.pack_into("<L", data, at + 14 + shift, crc)
        if size >= 0:
            struct.pack_into("<L", data, at + 22 + shift, size)

    data = bytearray(good)
    change(data, 0, 0)
    change(data, good.index(b"PK\x01\x02"), 2)
    return bytes(data)


def _flipped(good: bytes) -> bytes:
    at = 30 + len(GOOD_NAME) + 20
    return good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :]


def _with_comment(good: bytes, comment: bytes) -> bytes:
    return good[:-2] + struct.pack("<H", len(comment)) + comment


def _with_end(good: bytes, *, offset: int = 0, disk: int = 0) -> bytes:
    data = bytearray(good)
    at = good.index(b"PK\x05\x06")
    struct.pack_into("<H", data, at + 4, disk)
    struct.pack_into("<L", data, at + 16, struct.unpack_from("<L", data, at + 16)[0] + offset)
    return bytes(data)


def _with_end64(good: bytes) -> bytes:
    at = good.index(b"PK\x05\x06")
    entries = good[good.index(b"PK\x01\x02") : at]
    record = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 1, 1, len(entries), good.index(b"PK\x01\x02"))
    return good[:at] + record + b"PK\x06\x07" + struct.pack("<LQL", 0, at, 1) + good[at:]


def _not_text(plan: bytes) -> bytes:
    other = packed({"plan.jsöö": plan})
    return other.replace("plan.jsöö".encode(), b"plan.js\xff\xff\xff\xff")
