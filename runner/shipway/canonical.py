"""Canonical bytes and digests of documents and objects. Owns RFC 8785; knows nothing of what a document means."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import rfc8785

from shipway.errors import ShipwayError

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly. Source: RFC 7493, section 2.2."""

_UNSEALED = frozenset({"digest", "signatures"})
_OBJECT_TYPE = re.compile(r"[a-z][a-z0-9-]*")


class NotCanonical(ShipwayError, ValueError):
    """A value that has no canonical form; the message names the value's path."""


def canonical_bytes(value: Json) -> bytes:
    """The RFC 8785 bytes of `value`. Tuples count as lists; keys are strings; integers lie within ±(2**53 - 1).

    Raises NotCanonical, naming the path, for NaN, infinities, lone surrogates, larger integers and non-string keys.
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, RecursionError) as error:
        raise NotCanonical(f"{_offending_path(value)} has no canonical form: {error}") from error


def digest(document: Mapping[str, Json]) -> str:
    """`sha256:<64 hex>` over the canonical bytes of `document` without `digest` and `signatures`.

    Equal for equal values on every platform. Raises NotCanonical. Source: RFC 8785, section 3.2; RFC 7493, section 2.
    """
    return bytes_digest(canonical_bytes({k: v for k, v in document.items() if k not in _UNSEALED}))


def bytes_digest(content: bytes) -> str:
    """`sha256:<64 hex>` of `content` as it is."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def keyed_digest(key: bytes, content: bytes) -> str:
    """`hmac-sha256:<64 hex>`: says whether two secrets are equal to whoever has `key`, and nothing to anyone else."""
    return "hmac-sha256:" + hmac.new(key, content, hashlib.sha256).hexdigest()


def object_checksum(kind: str, base_name: str, content: bytes) -> str:
    """git-style checksum: `sha256:` over `<kind> <base name> <length>` NUL content. `kind` matches `[a-z][a-z0-9-]*`.

    Raises ValueError for another kind, so that no two objects share a header.
    """
    if not _OBJECT_TYPE.fullmatch(kind):
        raise ValueError(f"object type `{kind}` does not match [a-z][a-z0-9-]*")
    header = f"{kind} {base_name} {len(content)}".encode() + b"\0"
    return bytes_digest(header + content)


def _offending_path(value: Json, path: str = "$") -> str:
    """The path of the first member that rfc8785 refuses; the whole value's where no single member is at fault."""
    if isinstance(value, Mapping):
        members = [(f"{path}.{key}", member) for key, member in value.items()]
        if any(not isinstance(key, str) for key in value):
            return path
    elif isinstance(value, (list, tuple)):
        members = [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    else:
        return path
    for where, member in members:
        try:
            rfc8785.dumps(member)  # type: ignore[arg-type]
        except RecursionError:
            return where
        except (ValueError, TypeError):
            return _offending_path(member, where)
    return path
