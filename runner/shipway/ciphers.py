"""Which program a content was encrypted for, told from the content itself, never from a name. Pure."""

from __future__ import annotations

import json
import re
from enum import StrEnum

from msgspec import Struct


class Cipher(StrEnum):
    """What decrypts a content; `plain` needs nothing, `unknown` is neither."""

    AGE = "age"
    SOPS = "sops"
    PLAIN = "plain"
    UNKNOWN = "unknown"


class Sealed(Struct, frozen=True):
    """How a content is encrypted. `form` is sops' word for its type: json, yaml, dotenv, ini or binary."""

    cipher: Cipher
    form: str = ""


# Sources: https://age-encryption.org/v1, https://getsops.io/docs/#encryption-protocol
_AGE = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
_SOPS = {
    "yaml": (re.compile(r"^sops:\s*$", re.M), re.compile(r"^\s+\"?mac\"?:\s*\"?ENC\[", re.M)),
    "dotenv": (re.compile(r"^sops_version=", re.M), re.compile(r"^sops_mac=ENC\[", re.M)),
    "ini": (re.compile(r"^\[sops\]\s*$", re.M), re.compile(r"^mac\s*=\s*ENC\[", re.M)),
}
# What says that it is encrypted by something, whole or not: it is never handed on as if it were plain.
_MARKS = (
    "ENC[AES256_GCM",
    "age-encryption.org",
    "AGE ENCRYPTED FILE",
    "BEGIN PGP MESSAGE",
    "$ANSIBLE_VAULT;",
    "U2FsdGVkX1",
)


def told_by(content: bytes) -> Sealed:
    """How `content` is encrypted, or that it is not: a text without any mark of encryption is plain, and nothing else is."""
    if content.startswith(_AGE):
        return Sealed(Cipher.AGE)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return Sealed(Cipher.UNKNOWN)
    form = _sops_form(text)
    if form:
        return Sealed(Cipher.SOPS, form)
    is_marked = "\0" in text or any(mark in text for mark in _MARKS)
    return Sealed(Cipher.UNKNOWN if is_marked else Cipher.PLAIN)


def _sops_form(text: str) -> str:
    if text.lstrip().startswith("{"):
        return _sops_json(text)
    return next((form for form, marks in _SOPS.items() if all(mark.search(text) for mark in marks)), "")


def _sops_json(text: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict) or not isinstance(value.get("sops"), dict) or "mac" not in value["sops"]:
        return ""
    data = value.get("data")
    is_binary = set(value) == {"data", "sops"} and isinstance(data, str) and data.startswith("ENC[")
    return "binary" if is_binary else "json"
