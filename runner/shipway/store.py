"""What the core asks of a store: small records under keys, replaced only by whoever saw them last. Stores nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from shipway.errors import Reason, UnreachableError


class Kept(Struct, frozen=True):
    """A record as a store holds it; `version` changes with each change of the record and means nothing else."""

    content: bytes
    version: str


class Last(Struct, frozen=True):
    """The document that was put under a key last; `version` says which that is, and means nothing else."""

    name: str
    content: bytes
    version: str


class Presence(Protocol):
    """Tells living processes of this machine from those that have gone; what ends with a process cannot be forgotten."""

    def appear(self, name: str) -> None:
        """From now on, until `leave` or the end of this process, `name` is present."""

    def is_present(self, name: str) -> bool:
        """Whether the process that called `appear(name)` is still there."""

    def leave(self, name: str) -> None:
        """Be present no longer."""


class Store(Protocol):
    """A place for records that outlives a run: files of this machine, refs of a git remote, a table.

    A key is made of `/` and parts of lower-case letters, digits, `-` and `.`. Each method raises StoreError, after its own
    retries, where the store cannot be reached or used: what could not be read counts for nothing, never as free.
    `presence` is None where a process cannot be looked at from elsewhere: there a lease says how long it counts.
    """

    @property
    def name(self) -> str:
        """What to call it, for people: `local files`, `git refs of origin`."""

    @property
    def presence(self) -> Presence | None:
        """Who is there, where that can be told."""

    def read(self, key: str) -> Kept | None:
        """The record, or None where there is none."""

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        """Replace the record if its version is still `before` (None: there is none yet), in one step.

        The new version; None where someone else was faster, and nothing was changed.
        """

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        """Every record whose key begins with `prefix`, by key in order."""

    def last(self, key: str) -> Last | None:
        """The document that was put under `key` last, or None where there is none."""

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        """Put a document behind the last one under `key` if that still has the version `after` (None: there is none yet).

        False where someone else was faster, and nothing was changed. No two documents of a key have one name.
        """

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        """The documents under `key` with their names, the latest first."""

    def close(self) -> None:
        """Give back connections and files."""


class StoreError(UnreachableError):
    """A store cannot be reached, read or written: exit 6."""

    default_reason = Reason.STORE_UNREACHABLE
