"""Changes among files that can be put back: each is noted on disk before it is made. Knows no action and no journal."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from shipway.action import ActionFailed, Drifted, NotUndoable, Work
from shipway.canonical import Json, items_of, object_of
from shipway.file_state import ABSENT, Kind, Real, fingerprint, kind_of, mode_of, real_folder
from shipway.made_folders import MadeFolders, notebook_of

_LEDGER = "ledger"
"""The topic of ledgers in a run's notebook, by node."""

_PUT_BACK = "put back"
"""The topic of how many entries of a node's ledger, from the last, need no putting back any more."""

_FILE = "ledger.json"
_LONG = 40
"""A ledger of more entries has a file of its own, which is replaced each time, and the notebook says only that there is one."""


class Did(StrEnum):
    """One kind of change. Each can tell, whatever was killed in between, whether it was made and not yet put back."""

    MADE = "made"
    PRUNED = "pruned"
    ASIDE = "aside"
    REMOVING = "removing"
    REPLACED = "replaced"
    RENAMED = "renamed"
    TEMPORARY = "temporary"


class Entry(Struct, frozen=True):
    """One change: at `path` (relative to the workspace if inside it), with fingerprints `before` and `after`.

    `aside` names what was put away in scratch, `source` where a renamed thing came from, `mode` that of a pruned directory.
    """

    did: Did
    path: str
    before: str = ""
    after: str = ""
    aside: str = ""
    source: str = ""
    mode: str = ""


class Placement(Struct, frozen=True):
    """What is to stand at `path`: a directory, or `new`, a file or link of the ledger's, with the fingerprint `after`."""

    path: Path
    after: str
    new: Path | None = None


class Ledger:
    """What one node changed among files, oldest first. `is_complete`: its `do` came to an end."""

    def __init__(self, work: Work, entries: Sequence[Entry] = (), *, is_complete: bool = False) -> None:
        self._root = work.root
        self._scratch = work.scratch
        self._node = work.node.id
        self._notebook = notebook_of(work)
        self._made = MadeFolders(work.node.id, self._notebook)
        self._entries = list(entries)
        self._is_complete = is_complete
        self._put_back_count = 0
        self._next_name = 0
        self._temporaries: set[str] = set()
        self._has_scratch = False

    @classmethod
    def kept(cls, work: Work) -> Ledger | None:
        """The ledger that was noted, which knows best how far an undo came, else what `do` handed over as undo state."""
        noted = cls.noted(work)
        return cls._from_json(work, work.state) if noted is None and isinstance(work.state, Mapping) else noted

    @classmethod
    def noted(cls, work: Work) -> Ledger | None:
        """The ledger that was noted, None where none was."""
        notebook = notebook_of(work)
        noted = notebook.read(_LEDGER, work.node.id)
        if noted is True:
            noted = json.loads((work.scratch / _FILE).read_bytes())
        if noted is None:
            return None
        ledger = cls._from_json(work, object_of(noted))
        count = notebook.read(_PUT_BACK, work.node.id)
        ledger._put_back_count = count if isinstance(count, int) else 0
        return ledger

    @classmethod
    def _from_json(cls, work: Work, data: Mapping[str, Json]) -> Ledger:
        entries = []
        for item in items_of(data["entries"]):
            fields = {name: str(value) for name, value in object_of(item).items()}
            entries.append(Entry(Did(fields.pop("did")), **fields))
        return cls(work, entries, is_complete=data["is_complete"] is True)

    def as_json(self) -> dict[str, Json]:
        """JSON-safe undo state, which `Ledger.kept` reads again."""
        return {"entries": [asdict(entry) for entry in self._entries], "is_complete": self._is_complete}

    @property
    def holds_changes(self) -> bool:
        """Whether it tells of anything that is not put back."""
        return len(self._entries) > self._put_back_count

    # Changes. Each is noted before it is made.

    def make_parents(self, path: Path, real: Real = real_folder, *, for_entry: Entry | None = None) -> None:
        """Make the directories above `path` that are missing. Those that the run made stay until no node needs them.

        `for_entry` is the change that they are made for, and is noted with them.
        """
        with self._notebook:
            folders = self._made.above(str(path), real)
            if not folders and for_entry is None:
                return
            self._entries += (Entry(Did.MADE, self._name(folder)) for folder in folders)
            self._entries += () if for_entry is None else (for_entry,)
            self._save(self._made.claims(folders, real))
            self._made.make(folders)

    def make_directory(self, path: Path, mode: str) -> None:
        """Make the directory `path`, of which nothing may be left when it is put back but itself."""
        self._note(Entry(Did.MADE, self._name(path), after=f"directory {mode}"))
        try:
            path.mkdir()
        except FileExistsError:  # another node made it just now: it is not ours to remove
            self._entries.pop()
            self._save()
            raise
        path.chmod(int(mode, 8))

    def put_aside(self, path: Path) -> None:
        """Move what stands at `path` into scratch."""
        aside = self._free_name()
        self._note(Entry(Did.ASIDE, self._name(path), aside=aside))
        try:
            path.rename(self._scratch / aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(path, self._scratch / f"{aside}.part")
            (self._scratch / f"{aside}.part").rename(self._scratch / aside)
            self._note(Entry(Did.REMOVING, self._name(path)))
            _remove(path)

    def new_file(self, content: bytes | Path, mode: str) -> Path:
        """A file in scratch with `content` (of that file, if a path), to be handed to `replace`."""
        place = self._scratch / self._free_name()
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file)
            file.flush()
            os.fchmod(descriptor, int(mode, 8))
            os.fsync(descriptor)
        return place

    def new_place(self) -> Path:
        """Where in scratch a file may be written that is handed to `place`."""
        return self._scratch / self._free_name()

    def new_link(self, target: str) -> Path:
        """A link in scratch, to be handed to `replace`."""
        place = self._scratch / self._free_name()
        place.symlink_to(target)
        return place

    def link(self, path: Path, target: str, after: str, real: Real = real_folder) -> None:
        """Make the link `path`, with the fingerprint `after`, in place of what stands there; where nothing does, at once.

        The directories above it are made as by `make_parents`.
        """
        if kind_of(path) is not Kind.ABSENT:
            self.make_parents(path, real)
            self.replace(path, self.new_link(target))
            return
        self.make_parents(path, real, for_entry=Entry(Did.REPLACED, self._name(path), ABSENT, after))
        try:
            os.symlink(target, path)
        except FileExistsError as error:
            self._entries.pop()  # it came just now, and is not ours to remove
            self._save()
            raise ActionFailed(f"something came to `{path}` just now; it is left alone") from error

    def replace(self, path: Path, new: Path) -> None:
        """Put `new`, a file or link, in place of what stands at `path`, of which a file or link is never away meanwhile."""
        kind = kind_of(path)
        if kind is Kind.OTHER:
            raise ActionFailed(f"`{path}` is a pipe, a socket or a device, which is not replaced")
        if kind is Kind.DIRECTORY:
            self.put_aside(path)
        aside = self._free_name() if kind in (Kind.FILE, Kind.LINK) else ""
        self._note(Entry(Did.REPLACED, self._name(path), fingerprint(path), fingerprint(new), aside))
        if aside:
            _link_or_copy(path, self._scratch / aside)
        self._move_over(new, path)

    def place(self, placements: Sequence[Placement]) -> None:
        """Make each of `placements`, a directory before what is in it, in place of what stands there; one that is there stays.

        For thousands of them: all are noted at once.
        """
        for placement in placements:
            kind = kind_of(placement.path)
            if kind is Kind.OTHER:
                raise ActionFailed(f"`{placement.path}` is a pipe, a socket or a device, which is not replaced")
            if kind is not Kind.ABSENT and (kind is Kind.DIRECTORY) is not (placement.new is None):
                self.put_aside(placement.path)
        missing = [each for each in placements if each.new is not None or kind_of(each.path) is Kind.ABSENT]
        noted = [(placement, self._noted(placement)) for placement in missing]
        self._need_scratch()
        if missing and not _are_near(missing[0].path, self._scratch):
            self._temporaries = {self._name(_beside(each.path)) for each in missing}
            self._entries += (Entry(Did.TEMPORARY, name) for name in sorted(self._temporaries))
        self._entries += (entry for _, entry in noted)
        self._save()
        for placement, entry in noted:
            if placement.new is None:
                self._make(placement, entry)
                continue
            if entry.aside:
                _link_or_copy(placement.path, self._scratch / entry.aside)
            self._move_over(placement.new, placement.path)

    def _make(self, placement: Placement, entry: Entry) -> None:
        try:
            placement.path.mkdir()
        except FileExistsError:  # another node made it just now: it is not ours to remove
            self._entries.remove(entry)
            self._save()
            return
        placement.path.chmod(int(placement.after.split()[1], 8))

    def _noted(self, placement: Placement) -> Entry:
        name = self._name(placement.path)
        if placement.new is None:
            return Entry(Did.MADE, name, after=placement.after)
        before = fingerprint(placement.path)
        return Entry(Did.REPLACED, name, before, placement.after, "" if before == ABSENT else self._free_name())

    def rename(self, source: Path, path: Path) -> None:
        """Move `source` to `path`, where nothing stands. Across file systems only a file or a link."""
        self._note(Entry(Did.RENAMED, self._name(path), after=fingerprint(source), source=self._name(source)))
        try:
            source.rename(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            if kind_of(source) is Kind.DIRECTORY:
                raise ActionFailed(f"`{source}` is a directory on another file system than `{path}`") from error
            self._entries.pop()
            new = self._scratch / self._free_name()
            _copy(source, new)
            self.replace(path, new)
            self.put_aside(source)

    def prune(self, folder: Path, boundary: Path) -> int:
        """Remove `folder` and those above it, while they are empty, up to `boundary`, which stays. Returns how many."""
        count = 0
        while folder != boundary and folder.is_relative_to(boundary) and not any(folder.iterdir()):
            self._note(Entry(Did.PRUNED, self._name(folder), mode=mode_of(folder)))
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._entries.pop()  # another node put something into it just now
                self._save()
                return count
            count += 1
            folder = folder.parent
        return count

    def complete(self) -> dict[str, Json]:
        """Note that all is done, where putting it back depends on that. Returns the undo state."""
        self._is_complete = True
        if any(entry.did in _TELLING or (entry.did is Did.MADE and entry.after) for entry in self._entries):
            self._save()
        return self.as_json()

    # Putting back.

    def put_back(self) -> None:
        """Undo every change, the last first; what is put back already is passed over.

        Raises Drifted before anything is touched where something changed since, NotUndoable where what was put aside is gone.
        """
        cleared: set[str] = set()
        left = self._entries[: max(0, len(self._entries) - self._put_back_count)]
        standing = [(entry, self._stands(entry, cleared)) for entry in reversed(left)]
        for entry, stands in standing:
            if stands:
                self._reverse(entry)
            self._put_back_count += 1
            self._notebook.note(_PUT_BACK, self._node, self._put_back_count)
        self._entries = []
        self._save()

    def _stands(self, entry: Entry, cleared: set[str]) -> bool:
        """Whether a change is there to be put back. `cleared` collects the paths where nothing will be left by then."""
        path = self._at(entry.path)
        now = ABSENT if entry.path in cleared else fingerprint(path)
        match entry.did:
            case Did.TEMPORARY:
                return now != ABSENT
            case Did.MADE:
                stands = self._stands_made(entry, path, now, cleared)
                cleared.add(entry.path)
                return stands
            case Did.PRUNED:
                if now != ABSENT and kind_of(path) is not Kind.DIRECTORY:
                    raise self._drifted(entry, now)
                return now == ABSENT
            case Did.REMOVING:
                cleared.add(entry.path)
                if self._is_complete and now != ABSENT:
                    raise self._drifted(entry, now)
                return now != ABSENT
            case Did.ASIDE:
                return self._stands_aside(entry, now)
            case Did.REPLACED:
                return self._stands_replaced(entry, now, cleared)
            case Did.RENAMED:
                return self._stands_renamed(entry, now, cleared)

    def _stands_made(self, entry: Entry, path: Path, now: str, cleared: set[str]) -> bool:
        if not entry.after:  # a parent: even where it is gone, the claim on it is given up
            return True
        if now == ABSENT:
            return False
        if self._is_complete:
            if now != entry.after:
                raise self._drifted(entry, now)
            if any(self._name(inner) not in cleared for inner in path.iterdir()):
                raise Drifted(f"`{entry.path}` is no longer empty; it is left alone")
        return kind_of(path) is Kind.DIRECTORY

    def _stands_aside(self, entry: Entry, now: str) -> bool:
        is_kept = kind_of(self._scratch / entry.aside) is not Kind.ABSENT
        if now == ABSENT:
            if not is_kept and self._is_complete:
                raise NotUndoable(f"what stood at `{entry.path}` is no longer kept")
            return is_kept
        # Killed while it was copied to another file system: the original is still whole.
        if is_kept and self._is_complete:
            raise self._drifted(entry, now)
        return False

    def _stands_replaced(self, entry: Entry, now: str, cleared: set[str]) -> bool:
        if entry.before == ABSENT:
            cleared.add(entry.path)
        if now == entry.before:
            return False
        if now != entry.after:
            raise self._drifted(entry, now)
        if entry.aside and kind_of(self._scratch / entry.aside) is Kind.ABSENT:
            raise NotUndoable(f"what stood at `{entry.path}` is no longer kept")
        return True

    def _stands_renamed(self, entry: Entry, now: str, cleared: set[str]) -> bool:
        cleared.add(entry.path)
        at_source = fingerprint(self._at(entry.source))
        if at_source == entry.after and now == ABSENT:
            return False
        if now != entry.after or at_source != ABSENT:
            raise self._drifted(entry, now)
        return True

    def _reverse(self, entry: Entry) -> None:
        path = self._at(entry.path)
        match entry.did:
            case Did.MADE if not entry.after:
                with self._notebook:
                    self._made.leave(path)
            case Did.MADE:
                if not any(path.iterdir()):
                    path.rmdir()
            case Did.PRUNED:
                path.mkdir()
                path.chmod(int(entry.mode, 8))
            case Did.ASIDE:
                self._move_over(self._scratch / entry.aside, path)
            case Did.REPLACED if entry.aside:
                self._move_over(self._scratch / entry.aside, path)
            case Did.RENAMED:
                path.rename(self._at(entry.source))
            case Did.REPLACED | Did.REMOVING | Did.TEMPORARY:
                _remove(path)

    def _drifted(self, entry: Entry, now: str) -> Drifted:
        was, became = (entry.after or ABSENT).split()[0], now.split()[0]
        what = f"is {became}, not {was}, by now" if was != became else "has other content or another mode by now"
        return Drifted(f"`{entry.path}` {what}; it is left alone")

    def _move_over(self, new: Path, path: Path) -> None:
        try:
            new.replace(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            beside = _beside(path)
            self._note_temporary(beside)
            _remove(beside)
            _copy(new, beside)
            beside.replace(path)
            _remove(new)

    def _name(self, path: Path | str) -> str:
        text, root = str(path), str(self._root)
        if text == root:
            return "."
        return text[len(root) + 1 :] if text.startswith(f"{root}/") else text

    def _at(self, name: str) -> Path:
        return self._root / name

    def _need_scratch(self) -> None:
        """Make the folder, once something goes into it: most nodes of most runs have nothing to do."""
        if not self._has_scratch:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._has_scratch = True

    def _free_name(self) -> str:
        self._need_scratch()
        while kind_of(self._scratch / f"{self._next_name}") is not Kind.ABSENT:
            self._next_name += 1
        self._next_name += 1
        return f"{self._next_name - 1}"

    def _note(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._save()

    def _note_temporary(self, beside: Path) -> None:
        """Note it before all others: what is counted as put back is the end of the list."""
        name = self._name(beside)
        if name not in self._temporaries:
            self._temporaries.add(name)
            self._entries.insert(0, Entry(Did.TEMPORARY, name))
            self._save()

    def _save(self, more: Sequence[tuple[str, str, Json]] = ()) -> None:
        """Note the ledger as it is, then `more`."""
        if len(self._entries) <= _LONG:
            self._notebook.note_all([(_LEDGER, self._node, self.as_json()), *more])
            return
        self._need_scratch()
        place = os.path.join(self._scratch, _FILE)
        with open(f"{place}.new", "wb") as file:
            file.write(json.dumps(self.as_json()).encode())
        os.replace(f"{place}.new", place)
        self._notebook.note_all([(_LEDGER, self._node, True), *more])


_TELLING = frozenset({Did.ASIDE, Did.REMOVING})
"""Changes of which putting them back asks whether `do` came to its end."""


@contextmanager
def changing(work: Work) -> Iterator[Ledger]:
    """A ledger for one `do`. When the body fails, everything is put back and ActionFailed raised.

    What a killed `do` of the same node left is put back first, so that an undo later finds what stood there at the very start.
    """
    with faults_told():
        _put_back_left(work)
        ledger = Ledger(work)
        try:
            yield ledger
        except BaseException as error:
            _put_back_after(ledger, error)
            raise


def undo_changes(work: Work) -> None:
    """Put back what `do` changed; nothing where it changed nothing. Raises Drifted, NotUndoable or ActionFailed."""
    ledger = Ledger.kept(work)
    if ledger is not None:
        with faults_told():
            ledger.put_back()


def _put_back_after(ledger: Ledger, error: BaseException) -> None:
    try:
        ledger.put_back()
    except (OSError, Drifted, NotUndoable) as second:
        raise ActionFailed(f"{error}; and not all of it could be put back: {second}") from error


def _put_back_left(work: Work) -> None:
    left, notebook = Ledger.noted(work), notebook_of(work)
    try:
        if left is None:
            return
        left.put_back()
    except (Drifted, NotUndoable) as error:
        raise ActionFailed(f"what an earlier attempt changed cannot be put back: {error}") from error
    if notebook.read(_PUT_BACK, work.node.id) is not None:
        notebook.note(_PUT_BACK, work.node.id, None)


def has_changed(work: Work) -> bool:
    """Whether `do` of this node came so far that it changed something, and that was not put back."""
    ledger = Ledger.kept(work)
    return ledger is not None and ledger.holds_changes


@contextmanager
def faults_told() -> Iterator[None]:
    """Within it, what the operating system refuses is raised as ActionFailed."""
    try:
        yield
    except OSError as error:
        raise ActionFailed(told(error)) from error


def told(error: OSError) -> str:
    """What the operating system refused, in our words: `permission denied: `/a/b``."""
    reason = (error.strerror or str(error)).lower()
    return f"{reason}: `{error.filename}`" if error.filename is not None else reason


def _beside(path: Path) -> Path:
    """Where a copy from another file system stands until it is whole."""
    return path.parent / f".shipway-{sha256(os.fsencode(path)).hexdigest()[:16]}"


def _are_near(path: Path, scratch: Path) -> bool:
    """Whether a thing can be renamed from `scratch` to `path`: they are on one file system."""
    there = next(above for above in path.parents if above.is_dir())
    return there.stat().st_dev == scratch.stat().st_dev


def _link_or_copy(path: Path, aside: Path) -> None:
    try:
        os.link(path, aside, follow_symlinks=False)
    except OSError:  # another file system, one without hard links, or a file of somebody else
        _copy(path, aside)


def _copy(source: Path, target: Path) -> None:
    if kind_of(source) is Kind.DIRECTORY:
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(path: Path) -> None:
    if kind_of(path) is Kind.DIRECTORY:
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
