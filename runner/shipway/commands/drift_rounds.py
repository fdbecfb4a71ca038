"""In which order a schedule looks at targets: the one that was looked at longest ago first, as the store of the state remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from shipway.canonical import Json, canonical_bytes, mapping
from shipway.commands.stores import open_store
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import ShipwayError
from shipway.repository import Repository
from shipway.store import Store

_SCHEMA = 1
_TRIES = 5


class Rounds:
    """The targets of a lifecycle in turn. Where a store of the state can be written, it is told when each was begun.

    A job that runs out of time has so looked at others than the one before it. `fault` says why the order is not known, or not
    kept; nothing fails for it.
    """

    def __init__(self, declared: Declaration, context: Context, repository: Repository) -> None:
        self._declared = declared
        self._context = context
        self._repository = repository
        self.fault = ""

    def of(self, targets: Sequence[str]) -> Iterator[str]:
        """The targets, each noted as looked at before it is given out: one that never ends does not come first again."""
        if len(targets) < 2 or self._declared.state.store is StateStore.LOCAL:
            yield from targets
            return
        try:
            store = self._opened()
        except ShipwayError as error:
            self.fault = error.message
            yield from targets
            return
        try:
            for target in in_turn(targets, self._begun(store)):
                self._note(store, target)
                yield target
        finally:
            store.close()

    def _opened(self) -> Store:
        names = self._declared.secrets
        secrets = {name: self._context.env[name] for name in names if self._context.env.get(name)}
        return open_store(self._declared.state, secrets, self._context, self._repository)

    def _begun(self, store: Store) -> Mapping[str, int]:
        try:
            kept = store.read(self._key)
        except ShipwayError as error:
            self.fault = error.message
            return {}
        return begun_in(kept.content) if kept else {}

    def _note(self, store: Store, target: str) -> None:
        if self.fault:
            return
        try:
            for _ in range(_TRIES):
                kept = store.read(self._key)
                now = int(self._context.now().timestamp() * 1000)
                begun: dict[str, Json] = {**(begun_in(kept.content) if kept else {}), target: now}
                content = canonical_bytes({"kind": "drift", "schema": _SCHEMA, "begun": begun})
                if store.swap(self._key, kept.version if kept else None, content) is not None:
                    return
        except ShipwayError as error:
            self.fault = error.message

    @property
    def _key(self) -> str:
        return f"drift/{self._declared.name}"


def in_turn(targets: Sequence[str], begun: Mapping[str, int]) -> list[str]:
    """The one that was begun longest ago first; before those the ones that never were, as they are declared."""
    return sorted(targets, key=lambda target: begun.get(target, -1))


def begun_in(content: bytes) -> Mapping[str, int]:
    """When each target was begun, in Unix milliseconds; nothing where the record cannot be read."""
    try:
        data = mapping(json.loads(content))
    except (ValueError, RecursionError):
        return {}
    found = mapping(data.get("begun")) if data.get("schema") == _SCHEMA else {}
    return {target: at for target, at in found.items() if isinstance(at, int)}
