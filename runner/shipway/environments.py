"""The records of a lifecycle's environments in a store: each replaced only by whoever saw it last, none hurt by another."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from shipway.environment_record import EnvironmentRecord, environment_bytes, load_environment
from shipway.store import Kept, Store, StoreError

PREFIX = "previews/"
"""What the keys of all environments begin with."""

_TRIES = 200
"""So often is a change tried over: everybody else's change is one that got through, so that this many have to be faster."""


class Damaged(Struct, frozen=True):
    """A record that cannot be read: of which target, and why."""

    target: str
    why: str


class Environments:
    """The environments of one lifecycle. Each method raises StoreError where the store cannot be reached."""

    def __init__(self, store: Store, lifecycle: str) -> None:
        self._store = store
        self._lifecycle = lifecycle

    def read(self, target: str) -> EnvironmentRecord | None:
        """The record of a target, or None where there never was one. Raises StoreError for one that is damaged."""
        return self._loaded(target, self._store.read(environment_key(self._lifecycle, target)))

    def all(self) -> tuple[list[EnvironmentRecord], list[Damaged]]:
        """Every record by target, and which could not be read."""
        prefix = environment_key(self._lifecycle, "")
        found: list[EnvironmentRecord] = []
        damaged: list[Damaged] = []
        for key, kept in self._store.entries(prefix).items():
            target = key.removeprefix(prefix)
            try:
                found.append(self._checked(target, kept.content))
            except ValueError as error:
                damaged.append(Damaged(target, str(error)))
        return found, damaged

    def change(self, target: str, change: Callable[[EnvironmentRecord | None], EnvironmentRecord]) -> EnvironmentRecord:
        """Replace the record by what `change` makes of it, in one step; what stands then.

        `change` is called again where somebody else was faster. Where it makes no difference nothing is written.
        """
        key = environment_key(self._lifecycle, target)
        for _ in range(_TRIES):
            kept = self._store.read(key)
            record = change(self._loaded(target, kept))
            content = environment_bytes(record)
            if kept is not None and kept.content == content:
                return record
            if self._store.swap(key, kept.version if kept else None, content) is not None:
                return record
        raise StoreError(f"the record of `{target}` in {self._store.name} changes all the time", next="run again")

    def _loaded(self, target: str, kept: Kept | None) -> EnvironmentRecord | None:
        if kept is None:
            return None
        try:
            return self._checked(target, kept.content)
        except ValueError as error:
            raise StoreError(
                f"the record of `{target}` in {self._store.name} cannot be read: {error}",
                next=f"use a later Shipway, or remove the record `{environment_key(self._lifecycle, target)}`",
            ) from error

    def _checked(self, target: str, content: bytes) -> EnvironmentRecord:
        record = load_environment(content)
        if (record.lifecycle, record.target) != (self._lifecycle, target):
            raise ValueError(f"it is of `{record.target}` of `{record.lifecycle}`")
        return record


def environment_key(lifecycle: str, target: str) -> str:
    """Where a store keeps the record. Names of lifecycles and targets are parts of keys as they are."""
    return f"{PREFIX}{lifecycle}/{target}"
