"""The runs that the store of a declaration's state knows, for lists: by its receipts and its journals. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from shipway.canonical import bytes_digest
from shipway.commands.kept_receipts import Archive, Source, gathered
from shipway.commands.setting import repository_of
from shipway.commands.stores import open_store
from shipway.context import Context
from shipway.declaration import Declaration, StateStore
from shipway.errors import ShipwayError
from shipway.loading import load_declaration
from shipway.receipt import Receipt
from shipway.repository import Repository
from shipway.shared_state import SharedState, saved_targets
from shipway.state_fold import Telling


class StoredRun(Struct, frozen=True):
    """A run in a store. `receipts` are its verified ones in order: none where it was not sealed yet, as far as the store knows."""

    run: str
    lifecycle: str
    target: str
    receipts: tuple[Receipt, ...] = ()

    @property
    def last(self) -> Receipt | None:
        """The receipt that says how it stands."""
        return self.receipts[-1] if self.receipts else None


class StoredRuns(Struct, frozen=True):
    """The runs of a store, those that were sealed last at the end. `place` is empty where runs are kept in the checkout only.

    `trouble` is what could not be read or does not count, in words; empty where all is known.
    """

    place: str = ""
    runs: tuple[StoredRun, ...] = ()
    trouble: str = ""


def stored_runs(file: Path, target: str | None, context: Context) -> StoredRuns:
    """What the store that the declaration names knows. Of whatever keeps it from being read, `trouble` tells: nothing is raised."""
    if b"state" not in file.read_bytes():
        return StoredRuns()  # the usual case, and no reading of YAML
    try:
        repository = repository_of(file, context)
        declared = load_declaration(file, root=repository.root)
        return _stored(declared, target, context, repository)
    except ShipwayError as error:
        return StoredRuns("the store of `state`", trouble=error.message)


def _stored(declared: Declaration, target: str | None, context: Context, repository: Repository) -> StoredRuns:
    if declared.state.store is StateStore.LOCAL:
        return StoredRuns()
    archive = Archive(declared, target, context, repository)
    secrets = {name: context.env[name] for name in declared.secrets if context.env.get(name)}
    store = open_store(declared.state, secrets, context, repository, writes=False)
    try:
        names = [target] if target else saved_targets(store, declared.name)
        states = {name: SharedState(store, declared.name, name) for name in names}
        found = gathered(archive, [source for state in states.values() for source in _sources(state)])
        saved = [(state.saved(), name) for name, state in states.items()]
        place = store.name
    finally:
        store.close()
    runs = {run.run: run for run in _sealed(found.tellings)}
    for journal, name in saved:
        if journal is not None and journal.run not in runs:
            runs[journal.run] = StoredRun(journal.run, declared.name, name)
    wrong = [each for each in found.findings if each.place.startswith(f"{place}: ")]
    counted = "1 document does" if len(wrong) == 1 else f"{len(wrong)} documents do"
    return StoredRuns(place, tuple(runs.values()), f"{counted} not count: `shipway verify` says why" if wrong else "")


def _sources(state: SharedState) -> Iterator[Source]:
    for document, content in state.receipts():
        yield Source(f"{state.place}: {document}", bytes_digest(content), partial(bytes, content))


def _sealed(tellings: tuple[Telling, ...]) -> Iterator[StoredRun]:
    """The runs of receipts in chain order, by when each was sealed last."""
    by_run: dict[str, list[Receipt]] = {}
    for telling in tellings:
        receipt = telling.receipt
        by_run[receipt.run] = [*by_run.pop(receipt.run, []), receipt]
    for run, receipts in by_run.items():
        yield StoredRun(run, receipts[0].lifecycle, receipts[0].target, tuple(receipts))
