"""Takes locks in a store, keeps them by heartbeat, gives them back. What may be taken, and when, `locks` decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Event, RLock, Thread
from typing import Protocol

from msgspec import Struct

from shipway.canonical import json_fault
from shipway.errors import Reason
from shipway.locks import (
    Claim,
    Holder,
    KeptBy,
    Life,
    Lock,
    LockHeld,
    LockLost,
    heartbeat_ms,
    holder_text,
    key_of,
    last_moment_ms,
    load_lock,
    lock_bytes,
    may_take,
    released,
    renewed,
    taken,
    told,
)
from shipway.store import Kept, Store, StoreError

_TRIES = 20
"""How often a lock that always changes under our hands is looked at again before it counts as held."""

_PATIENCE_S = 5.0
"""How long the end of a run waits for a renewal that is on its way: a job that is cancelled has ten seconds in all."""

_LOOK_MS = 10_000
"""How often the lock of a living process is looked at: it needs no renewal, but may have been given away by hand."""


class Locks(Protocol):
    """The locks of one run. What is not taken is not held: every doubt is an error."""

    @property
    def lost(self) -> LockLost | None:
        """Set once a lock that was taken is no longer ours: what is done from then on may collide with another run."""

    def token(self, name: str) -> int:
        """The fencing token under which a lock is held; 0 where it is not."""

    def take(self, names: Sequence[str]) -> None:
        """Take all of these or none. Raises LockHeld naming who has one, or StoreError."""

    def give_back(self, names: Iterable[str]) -> None:
        """Hold these no longer. Raises StoreError where nobody can be told."""

    def watch(self, react: Callable[[LockLost], None]) -> None:
        """Have `react` called, from another thread, when a lock is lost; at once where one was lost already."""

    def close(self) -> None:
        """Give everything back. Raises StoreError for what could not be given back; it ends with its lease."""


class Unguarded:
    """No lock is taken, because something else guards the target: the forge's concurrency, or the test that runs it."""

    @property
    def lost(self) -> LockLost | None:
        """What was never taken is never lost."""
        return None

    def token(self, name: str) -> int:
        """Nothing is held."""
        return 0

    def take(self, names: Sequence[str]) -> None:
        """Nothing is taken."""

    def give_back(self, names: Iterable[str]) -> None:
        """Nothing was taken."""

    def watch(self, react: Callable[[LockLost], None]) -> None:
        """It is never called."""

    def close(self) -> None:
        """There is nothing to give back."""


class _Held(Struct):
    lock: Lock
    version: str


class Holding:
    """Locks held in a store for one claim, and the thread that renews them. `clock_ms` is since 1970 and never steps back.

    `life` tells what is known of another holder; it is asked only about a lease that is over.
    """

    def __init__(self, store: Store, claim: Claim, clock_ms: Callable[[], int], life: Callable[[Holder], Life]) -> None:
        self._store = store
        self._claim = claim
        self._clock_ms = clock_ms
        self._life = life
        self._held: dict[str, _Held] = {}
        self._mutex = RLock()
        self._closing = Event()
        self._heart: Thread | None = None
        self._react: Callable[[LockLost], None] | None = None
        self._lost: LockLost | None = None

    @property
    def lost(self) -> LockLost | None:
        """Set once a lock that was taken is no longer ours."""
        return self._lost

    def token(self, name: str) -> int:
        """The fencing token under which a lock is held; 0 where it is not."""
        held = self._held.get(name)
        return held.lock.token if held else 0

    def take(self, names: Sequence[str]) -> None:
        """Take all of these or none. Raises LockHeld naming who has one, or StoreError."""
        got: list[str] = []
        try:
            for name in sorted(set(names)):  # everyone in the same order: two runs cannot wait for each other
                self._take(name)
                got.append(name)
        except BaseException:
            self.give_back(got)
            self._leave()
            raise
        if self._heart is None and self._held and self._claim.kept_by is not KeptBy.HAND:
            self._heart = Thread(target=self._renew_until_closed, name="shipway-locks", daemon=True)
            self._heart.start()

    def give_back(self, names: Iterable[str]) -> None:
        """Hold these no longer. Raises StoreError where nobody can be told; all are tried."""
        failure: StoreError | None = None
        for name in names:
            with self._mutex:
                held = self._held.get(name)
                try:
                    if held is not None:
                        self._release(held)
                        del self._held[name]
                except StoreError as error:
                    failure = failure or error
        if failure is not None:
            raise failure

    def watch(self, react: Callable[[LockLost], None]) -> None:
        """Have `react` called, from another thread, when a lock is lost; at once where one was lost already."""
        self._react = react
        if self._lost is not None:
            react(self._lost)

    def beat(self) -> None:
        """Renew every lock once. Raises LockLost where one is ours no longer, StoreError where none can be asked."""
        for name in list(self._held):
            with self._mutex:
                held = self._held.get(name)
                if held is not None:
                    self._renew(held)

    def close(self) -> None:
        """Stop the heartbeat and give everything back. Raises StoreError for what could not be given back."""
        self._closing.set()
        if self._heart is not None:
            self._heart.join(_PATIENCE_S)
        try:
            if self._heart is not None and self._heart.is_alive():
                raise StoreError(f"{self._store.name} does not answer: the locks of this run end with their lease")
            self.give_back(list(self._held))
        finally:
            self._leave()
            self._store.close()

    def _leave(self) -> None:
        """Be present only as long as something is held."""
        if self._store.presence is not None and not self._held:
            self._store.presence.leave(self._claim.holder.id)

    # One lock.

    def _take(self, name: str) -> None:
        with self._mutex:
            if name in self._held:
                return
            if self._claim.kept_by is KeptBy.PROCESS and not self._held:
                assert self._store.presence is not None
                self._store.presence.appear(self._claim.holder.id)
            for _ in range(_TRIES):
                kept = self._store.read(key_of(name))
                lock = load_kept(name, kept, self._store)
                life = known_life(lock, self._store, self._clock_ms(), self._life)
                if not may_take(lock, self._clock_ms(), life):
                    break
                mine = taken(lock, self._claim, self._clock_ms())
                version = self._store.swap(key_of(name), kept.version if kept else None, lock_bytes(mine))
                if version is not None:
                    self._held[name] = _Held(mine, version)
                    return
        raise LockHeld(lock, life, self._clock_ms())

    def _renew(self, held: _Held) -> None:
        name = held.lock.name
        if self._claim.kept_by is KeptBy.PROCESS:
            self._look_again(held)
            return
        for _ in range(_TRIES):
            mine = renewed(held.lock, self._claim, self._clock_ms())
            version = self._store.swap(key_of(name), held.version, lock_bytes(mine))
            if version is not None:
                held.lock, held.version = mine, version
                return
            self._look_again(held)
        raise StoreError(f"{told(name)} could not be renewed: its record changes all the time")

    def _look_again(self, held: _Held) -> None:
        """Learn the record's version anew: an answer may have got lost. Raises LockLost where it is somebody else's."""
        kept = self._store.read(key_of(held.lock.name))
        lock = load_kept(held.lock.name, kept, self._store)
        if kept is None or not lock.is_of(self._claim.holder):
            raise _lost(held.lock, f"it is held {holder_text(lock)}")
        held.lock, held.version = lock, kept.version

    def _release(self, held: _Held) -> None:
        for _ in range(_TRIES):
            if self._store.swap(key_of(held.lock.name), held.version, lock_bytes(released(held.lock))) is not None:
                return
            try:
                self._look_again(held)
            except LockLost:
                return

    # The heartbeat.

    def _renew_until_closed(self) -> None:
        lease_ms = self._claim.lease_ms
        pause_ms = heartbeat_ms(lease_ms) if lease_ms else _LOOK_MS
        wait_ms = pause_ms
        while not self._closing.wait(wait_ms / 1000):
            wait_ms = pause_ms
            try:
                self.beat()
            except LockLost as error:
                self._lose(error)
                return
            except StoreError as error:
                wait_ms = pause_ms // 4
                if self._is_too_late():
                    self._lose(_lost(next(iter(self._held.values())).lock, f"it could not be renewed: {error.message}"))
                    return
            except Exception as error:  # noqa: BLE001 - the thread's edge: a lock that nobody renews is a lost one
                lock = next((held.lock for held in self._held.values()), Lock("named/?"))
                self._lose(_lost(lock, f"it could not be renewed: {type(error).__name__}: {error}"))
                return

    def _is_too_late(self) -> bool:
        lease_ms = self._claim.lease_ms
        if not lease_ms:
            return False
        ends = [last_moment_ms(held.lock.until_ms, lease_ms) for held in self._held.values()]
        return bool(ends) and self._clock_ms() >= min(ends)

    def _lose(self, error: LockLost) -> None:
        self._lost = error
        if self._react is not None:
            self._react(error)


def known_life(lock: Lock, store: Store, now_ms: int, ask: Callable[[Holder], Life]) -> Life:
    """What is known of a lock's holder; `ask` is called only about a lease that is over."""
    if lock.holder is None or lock.kept_by is KeptBy.HAND:
        return Life.UNASKED
    if lock.kept_by is KeptBy.PROCESS:
        if store.presence is None:
            return Life.UNKNOWN
        return Life.GOES_ON if store.presence.is_present(lock.holder.id) else Life.OVER
    return ask(lock.holder) if lock.until_ms <= now_ms else Life.UNKNOWN


def load_kept(name: str, kept: Kept | None, store: Store) -> Lock:
    """The lock called `name` as kept, free where there is none yet.

    Raises StoreError for a record that cannot be read: it may be held.
    """
    if kept is None:
        return Lock(name)
    try:
        return load_lock(kept.content)
    except ValueError as error:
        raise StoreError(
            f"the record of {told(name)} in {store.name} cannot be read: {json_fault(error)}",
            next="look at what is there; `shipway unlock --force` replaces it",
        ) from error


def _lost(lock: Lock, why: str) -> LockLost:
    return LockLost(
        f"{told(lock.name)} was lost: {why}",
        reason=Reason.LOCK_LOST,
        next="what was running has been ended and nothing was undone: look at the target before you run again",
    )
