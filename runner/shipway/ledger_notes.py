"""What one node changed among files, noted on disk oldest first, with the folder for what was put aside. Changes nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from shipway.action import Work
from shipway.canonical import Json, items_of, object_of
from shipway.file_state import ABSENT, Kind, kind_of, link_fingerprint
from shipway.made_folders import MadeFolders, notebook_of

_LEDGER = "ledger"
"""The topic of ledgers in a run's notebook, by node."""

_PUT_BACK = "put back"
"""The topic of how many entries of a node's ledger, from the last, need no putting back any more."""

_FILE = "ledger.json"
_LONG = 40
"""A ledger of more entries has a file of its own, which is replaced each time, and the notebook says only that there is one."""

_SHORT = 16
"""So many names in one entry take about as much room as an entry does."""


class Did(StrEnum):
    """One kind of change. Each can tell, whatever was killed in between, whether it was made and not yet put back."""

    MADE = "made"
    PRUNED = "pruned"
    ASIDE = "aside"
    REMOVING = "removing"
    REPLACED = "replaced"
    RENAMED = "renamed"
    TEMPORARY = "temporary"
    LINKED = "linked"


class Entry(Struct, frozen=True):
    """One change: at `path` (relative to the workspace if inside it), with fingerprints `before` and `after`.

    `aside` names what was put away in scratch, `source` where a renamed thing came from, `mode` that of a pruned directory.
    `names` are those that were `linked` in the folder `path`, where nothing stood, each to the one of that name in `source`.
    """

    did: Did
    path: str
    before: str = ""
    after: str = ""
    aside: str = ""
    source: str = ""
    mode: str = ""
    names: tuple[str, ...] = ()

    def each(self) -> Iterator[Entry]:
        """What one by one would have been noted: of each link by itself."""
        if self.did is not Did.LINKED:
            yield self
            return
        inside = "" if self.path == "." else f"{self.path}/"
        for name in self.names:
            after = link_fingerprint(f"{self.source}/{name}")
            yield Entry(Did.REPLACED, f"{inside}{name}", ABSENT, after)

    def to_json(self) -> dict[str, Json]:
        """Its fields, `names` where there are any."""
        fields: dict[str, Json] = asdict(self)
        names = fields.pop("names")
        return {**fields, "names": list(self.names)} if names else fields

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Entry:
        """What `to_json` wrote."""
        fields = {name: str(value) for name, value in data.items() if name not in ("did", "names")}
        return cls(Did(str(data["did"])), **fields, names=tuple(map(str, items_of(data.get("names", [])))))


class LedgerNotes:
    """The entries of one node's ledger, oldest first. `is_complete`: its `do` came to an end.

    `put_back_count` are how many of them, from the last, need no putting back any more; `made` are the folders of the run.
    """

    def __init__(self, work: Work, entries: Sequence[Entry] = (), *, is_complete: bool = False) -> None:
        self.entries = list(entries)
        self.is_complete = is_complete
        self.put_back_count = 0
        self.scratch = work.scratch
        self.notebook = notebook_of(work)
        self.made = MadeFolders(work.node.id, self.notebook)
        self._root = work.root
        self._node = work.node.id
        self._next_name = 0
        self._temporaries: set[str] = set()
        self._has_scratch = False

    @classmethod
    def kept(cls, work: Work) -> LedgerNotes | None:
        """The ledger that was noted, which knows best how far an undo came, else what `do` handed over as undo state."""
        noted = cls.noted(work)
        return cls._from_json(work, work.state) if noted is None and isinstance(work.state, Mapping) else noted

    @classmethod
    def noted(cls, work: Work) -> LedgerNotes | None:
        """The ledger that was noted, None where none was."""
        notebook = notebook_of(work)
        noted = notebook.read(_LEDGER, work.node.id)
        if noted is True:
            noted = json.loads((work.scratch / _FILE).read_bytes())
        if noted is None:
            return None
        notes = cls._from_json(work, object_of(noted))
        count = notebook.read(_PUT_BACK, work.node.id)
        notes.put_back_count = count if isinstance(count, int) else 0
        return notes

    @classmethod
    def _from_json(cls, work: Work, data: Mapping[str, Json]) -> LedgerNotes:
        entries = [Entry.from_json(object_of(item)) for item in items_of(data["entries"])]
        notes = cls(work, entries, is_complete=data["is_complete"] is True)
        notes.unfold()
        return notes

    def unfold(self) -> None:
        """Have an entry for each link that was noted together with others: what is put back is counted one by one."""
        self.entries = [each for entry in self.entries for each in entry.each()]

    def as_json(self) -> dict[str, Json]:
        """JSON-safe undo state, which `LedgerNotes.kept` reads again."""
        return {"entries": [entry.to_json() for entry in self.entries], "is_complete": self.is_complete}

    @property
    def holds_changes(self) -> bool:
        """Whether it tells of anything that is not put back."""
        return len(self.entries) > self.put_back_count

    def name(self, path: Path | str) -> str:
        """How entries call `path`: relative to the workspace if inside it."""
        text, root = str(path), str(self._root)
        if text == root:
            return "."
        return text[len(root) + 1 :] if text.startswith(f"{root}/") else text

    def at(self, name: str) -> Path:
        """The path that entries call `name`."""
        return self._root / name

    def need_scratch(self) -> None:
        """Make the folder, once something goes into it: most nodes of most runs have nothing to do."""
        if not self._has_scratch:
            self.scratch.mkdir(parents=True, exist_ok=True)
            self._has_scratch = True

    def free_name(self) -> str:
        """A name in scratch that is not taken."""
        self.need_scratch()
        while kind_of(self.scratch / f"{self._next_name}") is not Kind.ABSENT:
            self._next_name += 1
        self._next_name += 1
        return f"{self._next_name - 1}"

    def note(self, entry: Entry) -> None:
        """Note a change that is about to be made."""
        self.entries.append(entry)
        self.save()

    def drop_last(self) -> None:
        """Note that the change noted last was not made after all."""
        self.entries.pop()
        self.save()

    def begin_put_back(self) -> None:
        """Note that they are put back from now on, one by one: until the last of them is, something of it may be there."""
        if len(self.entries) - self.put_back_count > 1:
            self.notebook.note(_PUT_BACK, self._node, self.put_back_count)

    def keep(self, entries: Sequence[Entry]) -> None:
        """Note that these are left, and all others are put back."""
        self.entries = list(entries)
        self.put_back_count = 0
        self.reopen()
        self.save()

    @property
    def is_being_put_back(self) -> bool:
        """Whether somebody began to put it back, and did not come to the end."""
        return self.holds_changes and self.notebook.read(_PUT_BACK, self._node) is not None

    def note_put_back(self) -> None:
        """Note that the last of those left is put back, or has no need of it."""
        self.put_back_count += 1
        self.notebook.note(_PUT_BACK, self._node, self.put_back_count)

    def close(self) -> None:
        """Note that nothing is left to be put back."""
        self.entries = []
        self.save()

    def reopen(self) -> None:
        """Let another ledger of the same node begin: nothing of it is put back yet."""
        if self.notebook.read(_PUT_BACK, self._node) is not None:
            self.notebook.note(_PUT_BACK, self._node, None)

    def add_temporaries(self, paths: Iterable[Path]) -> None:
        """Have files noted, with what is noted next, that will stand beside others only until they are whole."""
        self._temporaries = {self.name(path) for path in paths}
        self.entries += (Entry(Did.TEMPORARY, name) for name in sorted(self._temporaries))

    def note_temporary(self, beside: Path) -> None:
        """Note it before all others: what is counted as put back is the end of the list."""
        name = self.name(beside)
        if name not in self._temporaries:
            self._temporaries.add(name)
            self.entries.insert(0, Entry(Did.TEMPORARY, name))
            self.save()

    def save(self, more: Sequence[tuple[str, str, Json]] = ()) -> None:
        """Note the ledger as it is, then `more`."""
        if sum(1 + len(entry.names) // _SHORT for entry in self.entries) <= _LONG:
            self.notebook.note_all([(_LEDGER, self._node, self.as_json()), *more])
            return
        self.need_scratch()
        place = os.path.join(self.scratch, _FILE)
        with open(f"{place}.new", "wb") as file:
            file.write(json.dumps(self.as_json()).encode())
        os.replace(f"{place}.new", place)
        self.notebook.note_all([(_LEDGER, self._node, True), *more])
