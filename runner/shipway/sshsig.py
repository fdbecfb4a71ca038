"""The bytes of SSH signatures (SSHSIG) and of keys on the wire. Pure: no key is used here.

Source: PROTOCOL.sshsig of OpenSSH; RFC 4251, section 5; RFC 4253, section 6.6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import textwrap

from msgspec import Struct

_MAGIC = b"SSHSIG"
_VERSION = 1
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"
HASH = "sha512"
_HASHES = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}


class SshSignature(Struct, frozen=True):
    """A signature: the public key as it is on the wire, what it was made for, how the message was hashed, and the raw signature."""

    key: bytes
    namespace: str
    hash: str
    algorithm: str
    raw: bytes


def packed(*parts: bytes) -> bytes:
    """Each part behind its length."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unpacked(content: bytes, count: int) -> tuple[list[bytes], bytes]:
    """The first `count` parts, and what is behind them. Raises ValueError."""
    parts = []
    for _ in range(count):
        if len(content) < 4:
            raise ValueError("it ends too early")
        (size,) = struct.unpack(">I", content[:4])
        if size > len(content) - 4:
            raise ValueError("it ends too early")
        parts.append(content[4 : 4 + size])
        content = content[4 + size :]
    return parts, content


def signed_bytes(message: bytes, namespace: str, hash: str = HASH) -> bytes:
    """What the key signs for `message`. Raises ValueError for another hash than `sha512` and `sha256`."""
    if hash not in _HASHES:
        raise ValueError(f"the hash `{hash}` is not supported")
    return _MAGIC + packed(namespace.encode(), b"", hash.encode(), _HASHES[hash](message).digest())


def armoured(signature: SshSignature) -> str:
    """The text that ssh-keygen writes and reads."""
    inner = packed(signature.algorithm.encode(), signature.raw)
    fields = packed(signature.key, signature.namespace.encode(), b"", signature.hash.encode(), inner)
    blob = base64.b64encode(_MAGIC + struct.pack(">I", _VERSION) + fields).decode()
    return "\n".join([_BEGIN, *textwrap.wrap(blob, 70), _END]) + "\n"


def parsed(text: str) -> SshSignature:
    """The signature in such a text. Raises ValueError."""
    lines = text.strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError("it is no SSH signature")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is no SSH signature: {error}") from error
    if blob[:6] != _MAGIC or blob[6:10] != struct.pack(">I", _VERSION):
        raise ValueError("it is no SSH signature of version 1")
    (key, namespace, _, hash, inner), rest = unpacked(blob[10:], 5)
    (algorithm, raw), more = unpacked(inner, 2)
    if rest or more:
        raise ValueError("there is something behind it")
    return SshSignature(key, namespace.decode(), hash.decode(), algorithm.decode(), raw)


def fingerprint(key: bytes) -> str:
    """`SHA256:…`, as `ssh-keygen -l` shows a key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def key_type(key: bytes) -> str:
    """The type of a public key on the wire. Raises ValueError."""
    [kind], _ = unpacked(key, 1)
    return kind.decode("ascii")
