"""Canonical bytes and digests of documents and objects. Owns RFC 8785; knows nothing of what a document means."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import rfc8785

from shipway.errors import Reason, ShipwayError, UsageError, VerificationError

if TYPE_CHECKING:
    Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
else:
    Json: TypeAlias = Any  # so that msgspec can read structs that hold some: it knows no type that names itself

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly. Source: RFC 7493, section 2.2."""

_UNSEALED = frozenset({"digest", "signatures"})
_OBJECT_TYPE = re.compile(r"[a-z][a-z0-9-]*")


class NotCanonical(ShipwayError, ValueError):
    """A value that has no canonical form; the message names the value's path."""


def canonical_bytes(value: Json, *, is_plain: bool = False) -> bytes:
    """The RFC 8785 bytes of `value`. Tuples count as lists; integers lie within ±(2**53 - 1).

    `is_plain` says that no value in it is odd, as `has_odd_value` has it: then a large one is not searched for any, and may hold
    structs in a list, each of which is written as an object of its fields.
    Raises NotCanonical, naming the path, for NaN, infinities, lone surrogates, larger integers and what JSON has no word for.
    """
    try:
        if is_plain or not has_odd_value(value):
            content = _PLAIN.encode(value)
            if content.isascii() or not _LATE_CHARACTER.search(content):
                return content
            value = msgspec.to_builtins(value)
        return rfc8785.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotCanonical(f"{_offending_path(value)} has no canonical form: {error}") from error


def has_odd_value(value: object) -> bool:
    """Whether there is a value in it that only rfc8785 writes or refuses rightly: a fraction, a large integer, no JSON."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return False
    if kind is int:
        return not -_LARGE < value < _LARGE  # type: ignore[operator]
    if kind is list or kind is tuple:
        return any(map(has_odd_value, value))  # type: ignore[call-overload]
    if kind is dict or isinstance(value, Mapping):
        return any(map(has_odd_value, value.values()))  # type: ignore[attr-defined]
    return not isinstance(value, str)


def digest(document: Mapping[str, Json], *, is_plain: bool = False) -> str:
    """`sha256:<64 hex>` over the canonical bytes of `document` without `digest` and `signatures`.

    Equal for equal values on every platform. Raises NotCanonical. Source: RFC 8785, section 3.2; RFC 7493, section 2.
    """
    return bytes_digest(canonical_bytes({k: v for k, v in document.items() if k not in _UNSEALED}, is_plain=is_plain))


def bytes_digest(content: bytes) -> str:
    """`sha256:<64 hex>` of `content` as it is."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def keyed_digest(key: bytes, content: bytes) -> str:
    """`hmac-sha256:<64 hex>`: says whether two secrets are equal to whoever has `key`, and nothing to anyone else."""
    return "hmac-sha256:" + hmac.new(key, content, hashlib.sha256).hexdigest()


def parse(content: bytes) -> Json:
    """The value in JSON bytes. Raises ValueError or RecursionError for anything else.

    An integer beyond ±(2**53 - 1) is read as the floating point number that it stands for, as everywhere in RFC 8785.
    """
    value: Json = json.loads(content.decode("utf-8"), parse_int=_number)
    return value


def json_fault(error: Exception) -> str:
    """What is wrong with a text that `json` does not take, for people: what is missing, and where. Characters count from 1."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no UTF-8"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    if not error.doc.strip():
        return "it is empty"
    line = f"line {error.lineno}, " if "\n" in error.doc.strip() else ""
    words = _JSON_FAULTS.get(error.msg, error.msg.lower().removesuffix(" at"))
    return f"{words} at {line}character {error.colno}"


_JSON_FAULTS = {
    "Expecting value": "no value stands",
    "Expecting property name enclosed in double quotes": "no name in double quotes stands",
    "Expecting ',' delimiter": "no `,` and no end stands",
    "Expecting ':' delimiter": "no `:` stands",
    "Extra data": "something follows behind its end",
    "Unterminated string starting at": "a text without a closing quote begins",
    "Invalid control character at": "a control character that has to be escaped stands",
    "Invalid \\escape": "a `\\` with nothing that it escapes stands",
    "Invalid \\uXXXX escape": "a `\\u` without four hexadecimal digits stands",
}
"""What Python's reader says, in words that need no knowledge of how it reads. Source: Lib/json/decoder.py, scanner.py"""


def _number(text: str) -> int | float:
    # No integer of more digits is a safe one, and reading it as one would take time quadratic in its length.
    whole = int(text) if len(text) <= 17 else None
    return whole if whole is not None and abs(whole) <= MAX_SAFE_INTEGER else float(text)


def load_sealed(content: bytes, *, kind: str, versions: Sequence[int], reason: Reason) -> Mapping[str, Json]:
    """The JSON document in `content`, after its seal was checked: canonical bytes, digest, then kind and schema version.

    Raises VerificationError with `reason` for bytes that are not canonical or do not match their digest, and UsageError
    for another kind or an unknown schema version, naming those supported.
    """
    data = _plain_object(content)
    is_plain = data is not None
    try:
        if data is None:
            value = parse(content)
            data = value if isinstance(value, Mapping) and canonical_bytes(value) == content else None
    except (ValueError, RecursionError, NotCanonical) as error:
        raise VerificationError(f"not a {kind}: {json_fault(error)}", reason=reason, next=_RENEW[kind]) from error
    if data is None:
        raise VerificationError(f"the {kind} is not in canonical form", reason=reason, next=_RENEW[kind])
    if data.get("digest") != digest(data, is_plain=is_plain):
        raise VerificationError(f"the {kind} was altered: its digest does not match", reason=reason, next=_RENEW[kind])
    if data.get("kind") != kind:
        raise UsageError(f"this is a `{data.get('kind')}`, not a {kind}", reason=Reason.DOCUMENT_INVALID)
    if data.get("schema") not in versions:
        known = ", ".join(map(str, versions))
        raise UsageError(
            f"{kind} schema {data.get('schema')!r} is not supported (supported: {known})",
            reason=Reason.DOCUMENT_INVALID,
            next="use the version of Shipway that wrote it",
        )
    return object_of(data)


def _plain_object(content: bytes) -> Mapping[str, Json] | None:
    """What is in canonical bytes, soon; None where they are none, or hold what only rfc8785 writes rightly."""
    if _LONG_NUMBER in content.translate(_NUMBERS) or (not content.isascii() and _LATE_CHARACTER.search(content)):
        return None
    try:
        value: Json = _READER.decode(content)
        return value if isinstance(value, Mapping) and _PLAIN.encode(value) == content else None
    except (ValueError, RecursionError):
        return None


def _refuse_fraction(text: str) -> float:
    raise ValueError(f"`{text}` is no integer")


_RENEW = {
    "plan": "make it again with `shipway plan -o FILE`",
    "receipt": "fetch it again from where it was kept",
    "preview-manifest": "make it again with `shipway preview up`",
}


def object_of(value: Json) -> Mapping[str, Json]:
    """`value` where the schema has already said that it is an object."""
    assert type(value) is dict or isinstance(value, Mapping)
    return value


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` where it is an object, else an empty one."""
    return value if type(value) is dict or isinstance(value, Mapping) else {}


def items_of(value: Json) -> Sequence[Json]:
    """`value` where the schema has already said that it is an array."""
    assert type(value) is list or (isinstance(value, Sequence) and not isinstance(value, str))
    return value


def integer_of(value: Json) -> int:
    """`value` where the schema has already said that it is an integer."""
    assert isinstance(value, int)
    return value


def text_or_none(value: Json) -> str | None:
    """`value` where the schema has already said that it is a string or null."""
    return None if value is None else str(value)


def integer_or_none(value: Json) -> int | None:
    """`value` where the schema has already said that it is an integer or null."""
    return None if value is None else integer_of(value)


def object_checksum(kind: str, base_name: str, content: bytes) -> str:
    """git-style checksum: `sha256:` over `<kind> <base name> <length>` NUL content. `kind` matches `[a-z][a-z0-9-]*`.

    Raises ValueError for another kind, so that no two objects share a header.
    """
    if not _OBJECT_TYPE.fullmatch(kind):
        raise ValueError(f"object type `{kind}` does not match [a-z][a-z0-9-]*")
    header = f"{kind} {base_name} {len(content)}".encode() + b"\0"
    return bytes_digest(header + content)


_PLAIN = msgspec.json.Encoder(order="sorted")
"""Writes most of what there is exactly as RFC 8785 does, in a hundredth of the time that rfc8785 takes."""

_READER = msgspec.json.Decoder(float_hook=_refuse_fraction)

_LARGE = 10**15
_LONG_NUMBER = b":" + b"0" * 16
"""A number that may not be kept exactly by every reader; some texts look like one, and are only read more slowly for it."""
_NUMBERS = bytes(
    ord("0") if byte in b"0123456789" else ord(":") if byte in b":,[{-" else ord(" ") for byte in range(256)
)
"""Makes one of every digit, and of all that stands before a number: what is looked for then is found five times as fast."""
_LATE_CHARACTER = re.compile(b"[\xee-\xf4]")
"""What U+E000 and all after it begin with in UTF-8: keys with one sort otherwise by code point than by UTF-16 unit."""


def _offending_path(value: Json, path: str = "$") -> str:
    """The path of the first member that rfc8785 refuses; the whole value's where no single member is at fault."""
    if isinstance(value, Mapping):
        members = [(f"{path}.{key}", member) for key, member in value.items()]
        if any(not isinstance(key, str) for key in value):
            return path
    elif isinstance(value, (list, tuple)):
        members = [(f"{path}[{index}]", _as_object(member)) for index, member in enumerate(value)]
    else:
        return path
    for where, member in members:
        try:
            rfc8785.dumps(member)
        except RecursionError:
            return where
        except (ValueError, TypeError):
            return _offending_path(member, where)
    return path


def _as_object(value: Json) -> Json:
    """What `canonical_bytes` writes for a struct among plain values; anything else as it is."""
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
