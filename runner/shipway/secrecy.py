"""What of a run must not be written down as it is, and how it is written down all the same: encrypted, where there is a key.

Encrypts nothing itself: the Vault does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class NotOpened(Exception):
    """What was encrypted cannot be read; the text says why."""


class Vault(Protocol):
    """Keeps texts so that only whoever has its key can read them. `about` says what a text is of: it opens as that only."""

    def seal(self, about: str, content: str) -> bytes:
        """The content, encrypted; other bytes each time."""

    def open(self, about: str, sealed: bytes) -> str:
        """What was sealed. Raises NotOpened for another key, another `about`, or bytes that were changed."""


class Secrecy(Struct, frozen=True):
    """What must not be written down: `holds` says so of a text. Without a `vault` it is left out, with one it is sealed."""

    holds: Callable[[str], bool]
    vault: Vault | None = None


NOTHING_SECRET = Secrecy(lambda text: False)
"""Of a run without secrets."""


def about_attempt(run: str, sequence: int, node: str) -> str:
    """What is sealed of one attempt: nobody who may write the state can put it into another place."""
    return json.dumps(["shipway", 1, run, sequence, node])
