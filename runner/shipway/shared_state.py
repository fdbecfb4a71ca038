"""State of one lifecycle and target in a store: the journal of its last run, and its receipts, for whoever comes next.

What is written is fenced by the token of the run's lock: a run whose lock went to another can no longer write here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

from msgspec import Struct

from shipway.canonical import Json
from shipway.errors import ShipwayError
from shipway.later_signatures import added, later_bytes, later_signatures, signed_content
from shipway.locks import LockLost
from shipway.signing import Signature
from shipway.store import Last, Store, StoreError

PAUSE_S = 30.0
"""At most so often is the journal saved on the side; before what must not be lost it is saved at once."""

_JOURNALS = "journals"
_TRIES = 20
_SCHEMA = 1


class SavedRun(Struct, frozen=True):
    """A copy of a run's journal: whose run it is, under which fencing token it was written, and `journal_copy`'s bytes."""

    run: str
    token: int
    content: bytes


class SharedState:
    """The records of a lifecycle and target in a store. Each method raises StoreError where that cannot be reached."""

    def __init__(self, store: Store, lifecycle: str, target: str) -> None:
        self._store = store
        self._journal = f"{_JOURNALS}/{lifecycle}/{target}"
        self._receipts = f"receipts/{lifecycle}/{target}"
        self._signatures = f"signatures/{lifecycle}/{target}"
        self._version: str | None = None

    @property
    def place(self) -> str:
        """What to call the store."""
        return self._store.name

    def saved(self) -> SavedRun | None:
        """The journal that was saved last, or None."""
        kept = self._store.read(self._journal)
        self._version = kept.version if kept else None
        return _load(kept.content, self._store.name) if kept else None

    def save(self, saved: SavedRun) -> None:
        """Replace what was saved before. Raises LockLost where that was written under a greater token: by a later run."""
        content = _bytes(saved)
        for _ in range(_TRIES):
            version = self._store.swap(self._journal, self._version, content)
            if version is not None:
                self._version = version
                return
            there = self.saved()
            if there is not None and there.token > saved.token:
                raise LockLost(
                    f"run `{there.run}` has written the state of this target since",
                    next="look at it with `shipway runs`",
                )
        raise StoreError(f"the journal in {self._store.name} changes all the time", next="run again")

    def last_receipt(self) -> Last | None:
        """The receipt that was kept last."""
        return self._store.last(self._receipts)

    def add_receipt(self, name: str, content: bytes, after: Last | None) -> bool:
        """Keep a sealed receipt behind `after`; False where there is another one behind that by now."""
        return self._store.append(self._receipts, name, content, after.version if after else None)

    def receipts(self) -> list[tuple[str, bytes]]:
        """Every receipt that is kept, by name, the latest first; with the signatures that were added to it since."""
        found = list(self._store.appended(self._receipts))
        if not any(b'"signatures":[]' in content for _, content in found):
            return found
        kept = self._store.read(self._signatures)
        with suppress(ValueError):  # what cannot be read signs nothing
            later = later_signatures(kept.content) if kept else {}
            return [(name, signed_content(content, later)) for name, content in found]
        return found

    def add_signature(self, digest: str, signature: Signature) -> None:
        """Keep a signature of a receipt that is kept without, beside it."""
        for _ in range(_TRIES):
            kept = self._store.read(self._signatures)
            try:
                before = later_signatures(kept.content) if kept else {}
            except ValueError as error:
                raise StoreError(
                    f"the signatures in {self._store.name} cannot be read: {error}",
                    next="use a later Shipway, or remove their record",
                ) from error
            after = added(before, digest, signature)
            version = kept.version if kept else None
            if after == before or self._store.swap(self._signatures, version, later_bytes(after)) is not None:
                return
        raise StoreError(f"the signatures in {self._store.name} change all the time", next="run it again")

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()


def saved_targets(store: Store, lifecycle: str) -> list[str]:
    """The targets of a lifecycle whose journals are in the store."""
    prefix = f"{_JOURNALS}/{lifecycle}/"
    return [key.removeprefix(prefix) for key in store.entries(prefix)]


class Checkpoints:
    """Saves something again and again: at once when asked to, else on the side, a while after it changed.

    `save` is called by one thread at a time. What goes wrong on the side is tried again, and told by the next `flush`.
    """

    def __init__(self, save: Callable[[], None], pause_s: float = PAUSE_S) -> None:
        self._save = save
        self._pause_s = pause_s
        self._changed = Event()
        self._closing = Event()
        self._saving = Lock()
        self._thread: Thread | None = None

    def note(self) -> None:
        """Something changed."""
        self._changed.set()
        if self._thread is None:
            self._thread = Thread(target=self._save_on_the_side, name="shipway-state", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Save what is there now, before this returns. Raises what saving raises."""
        with self._saving:
            self._changed.clear()
            try:
                self._save()
            except BaseException:
                self._changed.set()
                raise

    def close(self) -> None:
        """Save what changed since the last time. Raises what saving raises."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        if self._changed.is_set():
            self.flush()

    def _save_on_the_side(self) -> None:
        while not self._closing.wait(self._pause_s):
            if self._changed.is_set():
                try:
                    self.flush()
                except ShipwayError:
                    continue


def _bytes(saved: SavedRun) -> bytes:
    head = {"kind": "journal", "schema": _SCHEMA, "run": saved.run, "token": saved.token}
    return json.dumps(head).encode() + b"\n" + saved.content


def _load(content: bytes, place: str) -> SavedRun:
    head, _, rest = content.partition(b"\n")
    try:
        data: Json = json.loads(head)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("kind") != "journal" or data.get("schema") != _SCHEMA:
        raise StoreError(f"the journal in {place} cannot be read", next="use a later Shipway, or remove its record")
    token = data.get("token")
    return SavedRun(str(data.get("run")), token if isinstance(token, int) else 0, rest)
