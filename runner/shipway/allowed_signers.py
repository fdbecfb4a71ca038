"""A file of allowed signers, as `ssh-keygen -Y verify` reads it: whose key is whose, for what and when. Pure.

Source: ssh-keygen(1), section ALLOWED SIGNERS. Lines that name a certificate authority count for nothing: no certificate is read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from msgspec import Struct

_OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)")?(?:,|$)')
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")


class Allowed(Struct, frozen=True):
    """One line: who (`principals`, as they are written), the key on the wire, patterns of namespaces (empty: all), and when."""

    principals: str
    key: bytes
    namespaces: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None

    def holds(self, key: bytes, namespace: str, at: datetime | None) -> bool:
        """Whether it vouches for the key, for that namespace at that time."""
        if key != self.key or not _is_for(namespace, self.namespaces):
            return False
        if at is None:
            return self.after is None and self.before is None
        return (self.after is None or at >= self.after) and (self.before is None or at < self.before)


def vouched_for(text: str, key: bytes, namespace: str, at: datetime | None) -> str:
    """Who a key belongs to by such a file; empty where it says nothing of it."""
    return next((line.principals for line in allowed(text) if line.holds(key, namespace, at)), "")


def allowed(text: str) -> Iterator[Allowed]:
    """The lines that can be read; others, and those of authorities, are passed over."""
    for line in text.split("\n"):  # other line ends are none to ssh-keygen, nor to who reads a change of the file
        words = _words(line.strip())
        if len(words) < 3 or words[0].startswith("#"):
            continue
        principals, *rest = words
        options = "" if rest[0].startswith(_KEY_TYPES) else rest.pop(0)
        found = _line(principals, options, rest) if len(rest) >= 2 else None
        if found is not None:
            yield found


def _line(principals: str, options: str, rest: list[str]) -> Allowed | None:
    try:
        key = base64.b64decode(rest[1], validate=True)
        found = dict(written := list(_options(options)))
        if len(found) < len(written):
            return None
        after, before = (_moment(found[name]) if name in found else None for name in ("valid-after", "valid-before"))
    except (binascii.Error, ValueError):
        return None
    if "cert-authority" in found or not key:
        return None
    namespaces = tuple(found["namespaces"].split(",")) if "namespaces" in found else ()
    return Allowed(principals.strip('"'), key, namespaces, after, before)


def _is_for(namespace: str, patterns: tuple[str, ...]) -> bool:
    """By the rules of ssh_config(5), PATTERNS: one with `!` that matches outdoes all others."""
    if any(_matches(namespace, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return not patterns or any(_matches(namespace, pattern) for pattern in patterns)


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _words(line: str) -> list[str]:
    return re.findall(r'(?:[^\s"]|"[^"]*")+', line)


def _options(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _OPTION.match(text, place)
        if found is None or found[1] not in _OPTIONS:
            raise ValueError(f"`{text}` is no list of options")
        yield found[1], found[2] or ""
        place = found.end()


_OPTIONS = ("namespaces", "valid-after", "valid-before", "cert-authority")


def _moment(text: str) -> datetime:
    # ssh-keygen takes a time without `Z` for that of the machine; a receipt is read on many, so that it is UTC here.
    digits = text.removesuffix("Z")
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits))
    if form is None or not digits.isdigit():
        raise ValueError(f"`{text}` is no time")
    return datetime.strptime(digits, form).replace(tzinfo=UTC)
