"""What actions may keep between the runs of a lifecycle and target, in the store that `state` names. Opens it when first used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import TypeVar

from shipway.secrecy import Vault
from shipway.store import Kept, Last, Presence, Store

_T = TypeVar("_T")


class Shelf:
    """The store for the actions of one lifecycle and target, whose threads may use it at once: one call follows the other.

    `vault` encrypts to the key of `state`, where it names one. `is_private`: the store is files of this account on this
    machine, so that what is secret may lie there as it is; elsewhere it is sealed, or not kept.
    """

    def __init__(
        self,
        lifecycle: str,
        target: str,
        open_store: Callable[[], Store],
        *,
        open_vault: Callable[[], Vault | None] = lambda: None,
        is_private: bool = False,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is opened yet: most lifecycles keep nothing. `roles` are the stages of a preview by their role."""
        self.lifecycle = lifecycle
        self.target = target
        self.is_private = is_private
        self.roles = dict(roles or {})
        self.recalled: dict[str, object] = {}
        """What was read and need not be read again: nobody else changes it while the lock of the target is held."""
        self.changing = Lock()
        """Held while something recalled is replaced, so that of two threads the later one's is what stays."""
        self._open_vault = open_vault
        self._store = _InTurn(open_store)

    @property
    def store(self) -> Store:
        """The store; each of its calls raises StoreError where it cannot be reached, as opening it does."""
        return self._store

    @property
    def vault(self) -> Vault | None:
        """What encrypts what is secret. Raises UsageError where its key is not set."""
        return self._open_vault()

    def close(self) -> None:
        """Give back what was opened."""
        self._store.close()


class _InTurn:
    """A store that is opened by its first call, and used by one thread at a time."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._opened: Store | None = None
        self._turn = Lock()

    def _with(self, use: Callable[[Store], _T]) -> _T:
        with self._turn:
            if self._opened is None:
                self._opened = self._open_store()
            return use(self._opened)

    @property
    def name(self) -> str:
        return self._with(lambda store: store.name)

    @property
    def presence(self) -> Presence | None:
        return self._with(lambda store: store.presence)

    def read(self, key: str) -> Kept | None:
        return self._with(lambda store: store.read(key))

    def swap(self, key: str, before: str | None, content: bytes) -> str | None:
        return self._with(lambda store: store.swap(key, before, content))

    def entries(self, prefix: str) -> Mapping[str, Kept]:
        return self._with(lambda store: store.entries(prefix))

    def last(self, key: str) -> Last | None:
        return self._with(lambda store: store.last(key))

    def append(self, key: str, name: str, content: bytes, after: str | None) -> bool:
        return self._with(lambda store: store.append(key, name, content, after))

    def appended(self, key: str) -> Iterable[tuple[str, bytes]]:
        return self._with(lambda store: tuple(store.appended(key)))

    def close(self) -> None:
        with self._turn:
            if self._opened is not None:
                self._opened.close()
                self._opened = None
