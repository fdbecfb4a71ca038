"""Looking for any of many fixed texts at once, and where one was found. Knows nothing of what they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

HEAD = 8
"""So many first characters are told apart one by one; what follows them is compared as a whole."""


class Place(NamedTuple):
    """What was found in a text: it stands from `start` to `end`, behind what told of it from `begin` on."""

    begin: int
    start: int
    end: int


def any_of(ordered: Sequence[str], depth: int = 0) -> str:
    """A pattern for any of the sorted texts, the longest first, that tests a shared beginning once.

    One flat alternative per text would be tried at nearly every character of the input, which is slow for many texts.
    """
    groups: dict[str, list[str]] = {}
    for text in ordered:
        groups.setdefault(text[:1], []).append(text[1:])
    ends_here = groups.pop("", None) is not None
    if depth >= HEAD:
        whole = sorted((text for text in ordered if text), key=len, reverse=True)
        branches = [re.escape(text) for text in whole]
    else:
        branches = [re.escape(first) + any_of(rest, depth + 1) for first, rest in groups.items()]
    if not branches:
        return ""
    joined = branches[0] if len(branches) == 1 and not ends_here else f"(?:{'|'.join(branches)})"
    return joined + "?" if ends_here else joined
