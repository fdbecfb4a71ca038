"""Puts each receipt of a lifecycle and target behind the one before it: names that, then keeps it. Says nothing of seals.

Where the state is in a store, the store says which is last, and takes a receipt only behind that one. Else a note in the
workspace does: it names a receipt before that is written, so that whoever is killed in between leaves no doubt.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shipway.canonical import bytes_digest, mapping, text_or_none
from shipway.errors import ShipwayError, UnreachableError
from shipway.receipt import Receipt, file_name
from shipway.shared_state import SharedState
from shipway.store import StoreError
from shipway.workspace import Workspace, write_atomically

_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_TRIES = 50
"""How often a receipt is put behind those of others who are faster: only runs without a lock, or a repair, meet any."""


class Head(Struct, frozen=True):
    """The note in a workspace: the receipt that is last, or, where its file `name` is not there yet, is about to be.

    `is_stored`: the store of the state has it too.
    """

    digest: str
    before: str | None
    name: str
    is_kept: bool
    is_stored: bool = False


class Chain:
    """The receipts of a lifecycle and target, in the workspace and, where there is one, in the store of its state."""

    def __init__(self, workspace: Workspace, lifecycle: str, target: str, state: SharedState | None = None) -> None:
        self._workspace = workspace
        self._lifecycle = lifecycle
        self._target = target
        self._state = state

    def add(self, draft: Receipt, finish: Callable[[Receipt], Receipt], keep: Callable[[Receipt], None]) -> None:
        """Name the receipt before `draft` in it, let `finish` seal it, and keep it: in the store, then by `keep`.

        `keep` is called once, whatever goes wrong. Raises what `keep` raises, and StoreError where the store cannot take it.
        """
        with self._alone():
            if self._state is None:
                self._keep(finish(replace(draft, previous=self.last())), keep)
                return
            try:
                receipt = self._put(self._state, draft, finish)
            except StoreError:
                self._keep(finish(replace(draft, previous=self.last())), keep)
                raise
            self._keep(receipt, keep, is_stored=True)

    def last(self) -> str | None:
        """The digest of the receipt that was kept here last; None where there is none, or nobody knows any more."""
        head = self.head()
        if head is None:
            return _latest(self._workspace, self._lifecycle, self._target)
        is_there = head.is_kept or (self._workspace.receipts / head.name).exists()
        return head.digest if is_there else head.before

    def head(self) -> Head | None:
        """The note, or None where there is none that can be read."""
        try:
            data = json.loads(self._note.read_bytes())
            before = text_or_none(data["before"])
            return Head(
                str(data["digest"]), before, str(data["name"]), data["is_kept"] is True, data["is_stored"] is True
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _put(self, state: SharedState, draft: Receipt, finish: Callable[[Receipt], Receipt]) -> Receipt:
        for _ in range(_TRIES):
            last = state.last_receipt()
            receipt = finish(replace(draft, previous=claimed_digest(last.content) if last else None))
            if state.add_receipt(stored_name(receipt), receipt.content, last):
                return receipt
        raise StoreError(f"the receipts in {state.place} change all the time", next="run again")

    def _keep(self, receipt: Receipt, keep: Callable[[Receipt], None], *, is_stored: bool = False) -> None:
        name = self._workspace.free_name(file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run))
        head = Head(receipt.digest, receipt.previous, name, is_kept=False, is_stored=is_stored)
        try:
            self._write(head)
        except ShipwayError:
            keep(receipt)  # says what is wrong with the place, and where it put the receipt instead
            raise
        keep(receipt)
        self._write(replace(head, is_kept=True))

    def _write(self, head: Head) -> None:
        write_atomically(self._note, msgspec.json.encode(head, order="sorted"))

    @property
    def _note(self) -> Path:
        return self._workspace.head(self._lifecycle, self._target)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Alone with the receipts of this workspace, among all processes; what a killed one held is free at once."""
        import fcntl  # late: there is none on Windows, where plans are made

        try:
            folder = self._workspace.make_heads()
            descriptor = os.open(folder / ".guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except (OSError, UnreachableError):
            yield  # nothing can be written here: the keeper puts the receipt elsewhere
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def claimed_digest(content: bytes) -> str:
    """What a receipt says that its digest is; of anything else that stands in its place, the digest of the bytes."""
    try:
        claimed = str(mapping(json.loads(content)).get("digest"))
    except (ValueError, RecursionError):
        claimed = ""
    return claimed if _DIGEST.fullmatch(claimed) else bytes_digest(content)


def stored_name(receipt: Receipt) -> str:
    """The name of a receipt in a store: each execution of a run has one of its own."""
    name = file_name(receipt.lifecycle, receipt.target, receipt.started, receipt.run).removesuffix(".json")
    return f"{name}.{receipt.digest.removeprefix('sha256:')[:12]}.json"


def _latest(workspace: Workspace, lifecycle: str, target: str) -> str | None:
    """Of receipts that were kept here without a note, the one that ended last."""
    found: list[tuple[str, str]] = []
    for path in workspace.kept_receipts():
        if path.name.startswith(f"{lifecycle}-{target}-"):
            try:
                data = mapping(json.loads(path.read_bytes()))
            except (OSError, ValueError, RecursionError):
                continue
            if (data.get("lifecycle"), data.get("target")) == (lifecycle, target):
                found.append((str(data.get("ended")), str(data.get("digest"))))
    return max(found)[1] if found else None


def covered_by(signed: Collection[str], previous: Mapping[str, str | None]) -> frozenset[str]:
    """The digests that count by signatures: those that are `signed`, and all before the first of them, by `previous` of each.

    One that came between two signed ones does not: no run asks who wrote the receipt that it comes after.
    """
    found = set(signed)
    for digest in signed:
        before: list[str] = []
        here = previous.get(digest)
        while here is not None and here not in found and here not in before:
            before.append(here)
            here = previous.get(here)
        if here is None:
            found.update(before)
    return frozenset(found)
