"""Env files as text: quoted so that a POSIX shell and readers of dotenv files find the same values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shipway.compute_access import checked_names

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_SPECIAL = re.compile(r'([\\"$`])')


def env_text(entries: Mapping[str, str], written_for: str) -> str:
    """The file: a header line, then one entry a line, sorted by name. Raises Refused for what has no place in it."""
    checked_names(entries)
    lines = [f"{name}={quoted(value)}\n" for name, value in sorted(entries.items())]
    return f"{header(written_for)}\n{''.join(lines)}"


def header(written_for: str) -> str:
    """The first line of a file of ours, without its end."""
    return f"# Written by Shipway for {written_for}: each up replaces it."


def quoted(value: str) -> str:
    """One value. Plain ones stand as they are; the others in the quotes that most readers take literally.

    Single quotes are literal to a shell. Readers of dotenv files differ on a backslash before a quote or another backslash in
    them; double quotes with escapes are then what they agree on.
    """
    if _PLAIN.fullmatch(value) or not value:
        return value
    if "'" not in value and "\\\\" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + _SPECIAL.sub(r"\\\1", value) + '"'
