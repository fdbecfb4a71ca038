"""What `lock`, `unlock` and `locks` work with: the store of a declaration, and what can be learnt of who holds something."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from shipway.commands.setting import find_file, find_target, repository_of
from shipway.commands.stores import clock_of, life_of, open_store
from shipway.context import Context
from shipway.declaration import Declaration
from shipway.errors import UsageError
from shipway.holding import known_life, load_kept
from shipway.loading import load_declaration
from shipway.locks import PREFIX, Holder, Life, Lock, key_of, lifecycle_lock, named_lock
from shipway.store import Store


class Desk(Struct, frozen=True):
    """An open store, the declaration that names it, and a clock in milliseconds since 1970."""

    declared: Declaration
    context: Context
    store: Store
    clock_ms: Callable[[], int]
    life: Callable[[Holder], Life]
    names: tuple[str, ...]

    def locks(self) -> list[Lock]:
        """Every lock that the store has a record of."""
        entries = self.store.entries(PREFIX)
        return [load_kept(key.removeprefix(PREFIX), kept, self.store) for key, kept in entries.items()]

    def lock(self, name: str) -> tuple[Lock, str | None]:
        """A lock and the version of its record, None where there is none yet."""
        kept = self.store.read(key_of(name))
        return load_kept(name, kept, self.store), kept.version if kept else None

    def life_of(self, lock: Lock) -> Life:
        """What is known of its holder."""
        return known_life(lock, self.store, self.clock_ms(), self.life)


@contextmanager
def open_desk(arguments: Namespace, context: Context, *, writes: bool) -> Iterator[Desk]:
    """The store that the declaration names. `names` are the locks that the arguments are about: those named, else the target's.

    Raises UsageError where the declaration takes no lock.
    """
    file = find_file(arguments, context)
    repository = repository_of(file, context)
    named = arguments.name if writes else []
    target = arguments.target
    if writes and not named:
        target = find_target(arguments.target, file, repository)
    declared = load_declaration(file, root=repository.root, target=target)
    if not declared.is_locked:
        raise UsageError(
            f"`{declared.name}` takes no locks: it says `lock: none`", next="the forge's concurrency is its only guard"
        )
    names = tuple(map(named_lock, named)) if named or not target else (lifecycle_lock(declared.name, target),)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    store = open_store(declared.state, secrets, context, repository, writes=writes)
    try:
        yield Desk(declared, context, store, clock_of(context), life_of(context), names)
    finally:
        store.close()
