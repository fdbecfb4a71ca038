"""`shipway unlock`: give back a lock that was held by hand, or that a run left behind; with `--force` any."""

from __future__ import annotations

import json
from argparse import Namespace

from shipway.canonical import Json
from shipway.commands.documents import write_out
from shipway.commands.lock_desk import Desk, open_desk
from shipway.context import read_context
from shipway.errors import EXIT_DONE
from shipway.locks import (
    KeptBy,
    Life,
    Lock,
    LockHeld,
    holder_text,
    key_of,
    lock_bytes,
    lock_json,
    may_take,
    released,
    told,
)
from shipway.render.foreign import one_line
from shipway.store import StoreError

_TRIES = 10


def run(arguments: Namespace) -> int:
    """0 once they are free. Raises LockHeld where one is held by a run that may go on, and `--force` was not said."""
    with open_desk(arguments, read_context(), writes=True) as desk:
        before = [free_lock(desk, name, force=arguments.force) for name in desk.names]
        if arguments.json:
            listed: list[Json] = [lock_json(lock) for lock in before]
            write_out(json.dumps({"store": desk.store.name, "unlocked": listed}) + "\n")
        elif not arguments.quiet:
            write_out("".join(freed_line(lock) for lock in before))
    return EXIT_DONE


def free_lock(desk: Desk, name: str, *, force: bool) -> Lock:
    """Set the lock free; its record as it was before. Raises LockHeld and StoreError."""
    for _ in range(_TRIES):
        lock, version, is_broken = _read(desk, name, force=force)
        if lock.holder is None and not is_broken:
            return lock
        life = desk.life_of(lock)
        if not force and not _is_for_a_person(lock, desk.clock_ms(), life):
            error = LockHeld(lock, life, desk.clock_ms())
            error.next += "; `--force` takes it from a run that goes on: that run ends what it does, and undoes nothing"
            raise error
        if desk.store.swap(key_of(name), version, lock_bytes(released(lock))) is not None:
            return lock
    raise StoreError(f"{told(name)} changes all the time; nothing was done", next="run again")


def _read(desk: Desk, name: str, *, force: bool) -> tuple[Lock, str | None, bool]:
    """The lock, its version, and whether its record is broken, which only `force` lets pass."""
    try:
        return *desk.lock(name), False
    except StoreError:
        kept = desk.store.read(key_of(name)) if force else None
        if kept is None:
            raise
        # What its token was is lost; none before can have been as great as the time.
        return Lock(name, token=desk.clock_ms()), kept.version, True


def _is_for_a_person(lock: Lock, now_ms: int, life: Life) -> bool:
    """Whether a person's word is enough: for what a person holds, and for a lease that is over, though nobody can be asked."""
    is_over = lock.kept_by is KeptBy.LEASE and lock.until_ms <= now_ms and life is not Life.GOES_ON
    return lock.kept_by is KeptBy.HAND or is_over or may_take(lock, now_ms, life)


def freed_line(lock: Lock) -> str:
    """What became of a lock, by its record before."""
    if lock.holder is None:
        return f"{told(lock.name)} was free already\n"
    return one_line(f"{told(lock.name)} is free; it was held {holder_text(lock)}") + "\n"
