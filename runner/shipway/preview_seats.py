"""How many environments of a lifecycle there may be at once: a seat for each, taken by compare-and-swap before it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from shipway.canonical import canonical_bytes, mapping
from shipway.environments import Environments
from shipway.store import Store, StoreError

PREFIX = "quotas/"
"""What the keys of all lifecycles' seats begin with."""

GRACE_MS = 120_000
"""How long a seat counts of which no record tells yet: between the two a run that is killed leaves it behind."""

_TRIES = 200


class Seats:
    """The seats of one lifecycle. Each method raises StoreError where the store cannot be reached."""

    def __init__(self, store: Store, lifecycle: str, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._clock_ms = clock_ms

    def take(self, target: str, quota: int) -> tuple[str, ...]:
        """Take a seat for an environment that is about to be recorded; empty, or the targets that have all of them."""
        refused: list[str] = []

        def change(seats: Mapping[str, int]) -> Mapping[str, int] | None:
            held = self._held(seats)
            others = sorted(held.keys() - {target})
            refused[:] = others if len(others) >= quota else []
            return None if refused else {**held, target: self._clock_ms()}

        self._change(change)
        return tuple(refused)

    def give_back(self, target: str) -> None:
        """The environment is gone: its seat is another's."""
        self._change(lambda seats: {name: at for name, at in seats.items() if name != target})

    def _held(self, seats: Mapping[str, int]) -> dict[str, int]:
        """Of what is alive, and of what was seated just now. A record that cannot be read is taken to be of one alive."""
        records, damaged = Environments(self._store, self._lifecycle).all()
        alive = {each.target for each in records if each.is_alive} | {each.target for each in damaged}
        now_ms = self._clock_ms()
        return {name: seats.get(name, now_ms) for name in alive} | {
            name: at for name, at in seats.items() if now_ms - at < GRACE_MS
        }

    def _change(self, change: Callable[[Mapping[str, int]], Mapping[str, int] | None]) -> None:
        """Replace the seats by what `change` makes of them, in one step; None leaves them."""
        key = f"{PREFIX}{self._lifecycle}"
        for _ in range(_TRIES):
            kept = self._store.read(key)
            before = _loaded(kept.content) if kept is not None else {}
            after = change(before)
            if after is None or after == before:
                return
            content = canonical_bytes({"kind": "quota", "schema": 1, "seats": dict(after)}) + b"\n"
            if self._store.swap(key, kept.version if kept else None, content) is not None:
                return
        raise StoreError(
            f"the seats of `{self._lifecycle}` in {self._store.name} change all the time", next="run again"
        )


def _loaded(content: bytes) -> dict[str, int]:
    """Times of taking by target; none where it cannot be read: the records tell who is alive."""
    try:
        seats = mapping(mapping(json.loads(content)).get("seats"))
    except (ValueError, RecursionError):
        return {}
    return {name: at for name, at in seats.items() if isinstance(at, int)}
