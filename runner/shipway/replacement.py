"""Changes among files that can be put back: each is noted on disk before it is made. Knows no action and no journal."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from shipway.action import ActionFailed, Drifted, NotUndoable, Work
from shipway.canonical import Json
from shipway.file_linking import Linking
from shipway.file_moves import are_near, beside, copy, link_or_copy, move_over, remove
from shipway.file_placing import refuse_led_away
from shipway.file_state import ABSENT, Kind, Real, fingerprint, kind_of, mode_of, real_folder
from shipway.ledger_notes import Did, Entry, LedgerNotes
from shipway.putting_back import put_back


class Placement(Struct, frozen=True):
    """What is to stand at `path`: a directory, or `new`, a file or link of the ledger's, with the fingerprint `after`."""

    path: Path
    after: str
    new: Path | None = None


_NOTHING: Mapping[str, str] = {}


class Ledger:
    """What one node changes among files. Each change is noted before it is made."""

    def __init__(self, work: Work, restored: Mapping[str, str] = _NOTHING) -> None:
        """`restored`: by how entries name it, the fingerprint of what an earlier attempt replaced and was put back by now."""
        self._work = work
        self._restored = restored

    def restored(self, path: str) -> str:
        """The fingerprint of what an earlier attempt found at `path`, and replaced; empty where it did not."""
        return self._restored.get(self._notes.name(path), "") if self._restored else ""

    @cached_property
    def _notes(self) -> LedgerNotes:
        return LedgerNotes(self._work)  # most nodes of most runs have nothing to note

    def make_parents(self, path: Path | str, real: Real = real_folder, *, for_entry: Entry | None = None) -> None:
        """Make the directories above `path` that are missing. Those that the run made stay until no node needs them.

        `for_entry` is the change that they are made for, and is noted with them.
        """
        with self._notes.notebook:
            folders = self._notes.made.above(str(path), real)
            if not folders and for_entry is None:
                return
            self._notes.entries += (Entry(Did.MADE, self._notes.name(folder)) for folder in folders)
            self._notes.entries += () if for_entry is None else (for_entry,)
            self._notes.save(self._notes.made.claims(folders, real))
            self._notes.made.make(folders)

    def make_directory(self, path: Path, mode: str) -> None:
        """Make the directory `path`, of which nothing may be left when it is put back but itself."""
        self._notes.note(Entry(Did.MADE, self._notes.name(path), after=f"directory {mode}"))
        try:
            path.mkdir()
        except FileExistsError:  # another node made it just now: it is not ours to remove
            self._notes.drop_last()
            raise
        path.chmod(int(mode, 8))

    def put_aside(self, path: Path) -> None:
        """Move what stands at `path` into scratch."""
        aside = self._notes.free_name()
        self._notes.note(Entry(Did.ASIDE, self._notes.name(path), aside=aside))
        try:
            path.rename(self._notes.scratch / aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy(path, self._notes.scratch / f"{aside}.part")
            (self._notes.scratch / f"{aside}.part").rename(self._notes.scratch / aside)
            self._notes.note(Entry(Did.REMOVING, self._notes.name(path)))
            remove(path)

    def new_file(self, content: bytes | Path, mode: str) -> Path:
        """A file in scratch with `content` (of that file, if a path), to be handed to `replace`."""
        place = self.new_place()
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
        return self._notes.scratch / self._notes.free_name()

    def new_link(self, target: str) -> Path:
        """A link in scratch, to be handed to `replace`."""
        place = self.new_place()
        place.symlink_to(target)
        return place

    def link(self, path: str, target: str, after: str, kind: Kind, real: Real = real_folder) -> None:
        """Make the link `path`, with the fingerprint `after`, in place of what stands there, a `kind`; of nothing, at once.

        The directories above it are made as by `make_parents`.
        """
        if kind is not Kind.ABSENT:
            self.make_parents(path, real)
            self.replace(Path(path), self.new_link(target))
            return
        self.make_parents(path, real, for_entry=Entry(Did.REPLACED, self._notes.name(path), ABSENT, after))
        try:
            os.symlink(target, path)
        except FileExistsError as error:
            self._notes.drop_last()  # it came just now, and is not ours to remove
            raise ActionFailed(f"something came to `{path}` just now; it is left alone") from error

    def link_all(self, linking: Linking, names: tuple[str, ...], real: Real) -> None:
        """Make those of the links where nothing stands, and the directories above them that are missing: all noted at once."""
        if not names:
            return
        folder = self._notes.name(linking.folder)
        noted = Entry(Did.LINKED, folder, source=linking.target, names=names)
        self.make_parents(linking.at(names[0]), real, for_entry=noted)
        with linking.opened(real) as descriptor:
            for count, name in enumerate(names):
                try:
                    os.symlink(linking.text(name), name, dir_fd=descriptor)
                except FileExistsError as error:
                    # It came just now, and is not ours to remove; those behind it are not there.
                    self._notes.entries[-1] = Entry(Did.LINKED, folder, source=linking.target, names=names[:count])
                    self._notes.save()
                    raise ActionFailed(f"something came to `{linking.at(name)}` just now; it is left alone") from error
                except OSError as error:
                    raise OSError(error.errno, error.strerror, linking.at(name)) from error

    def replace(self, path: Path, new: Path) -> None:
        """Put `new`, a file or link, in place of what stands at `path`, of which a file or link is never away meanwhile."""
        kind = kind_of(path)
        if kind is Kind.OTHER:
            raise ActionFailed(f"`{path}` is a pipe, a socket or a device, which is not replaced")
        if kind is Kind.DIRECTORY:
            self.put_aside(path)
        aside = self._notes.free_name() if kind in (Kind.FILE, Kind.LINK) else ""
        self._notes.note(Entry(Did.REPLACED, self._notes.name(path), fingerprint(path), fingerprint(new), aside))
        if aside:
            link_or_copy(path, self._notes.scratch / aside)
        move_over(new, path, self._notes.note_temporary)

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
        self._notes.need_scratch()
        if missing and not are_near(missing[0].path, self._notes.scratch):
            self._notes.add_temporaries(beside(each.path) for each in missing)
        self._notes.entries += (entry for _, entry in noted)
        self._notes.save()
        for placement, entry in noted:
            if placement.new is None:
                self._make(placement, entry)
                continue
            if entry.aside:
                link_or_copy(placement.path, self._notes.scratch / entry.aside)
            move_over(placement.new, placement.path, self._notes.note_temporary)

    def _make(self, placement: Placement, entry: Entry) -> None:
        try:
            placement.path.mkdir()
        except FileExistsError:  # another node made it just now: it is not ours to remove
            self._notes.entries.remove(entry)
            self._notes.save()
            return
        placement.path.chmod(int(placement.after.split()[1], 8))

    def _noted(self, placement: Placement) -> Entry:
        name = self._notes.name(placement.path)
        if placement.new is None:
            return Entry(Did.MADE, name, after=placement.after)
        before = fingerprint(placement.path)
        return Entry(Did.REPLACED, name, before, placement.after, "" if before == ABSENT else self._notes.free_name())

    def rename(self, source: Path, path: Path) -> None:
        """Move `source` to `path`, where nothing stands. Across file systems only a file or a link."""
        self._notes.note(
            Entry(Did.RENAMED, self._notes.name(path), after=fingerprint(source), source=self._notes.name(source))
        )
        try:
            source.rename(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            if kind_of(source) is Kind.DIRECTORY:
                raise ActionFailed(f"`{source}` is a directory on another file system than `{path}`") from error
            self._notes.entries.pop()
            new = self.new_place()
            copy(source, new)
            self.replace(path, new)
            self.put_aside(source)

    def prune(self, folder: Path, boundary: Path) -> int:
        """Remove `folder` and those above it, while they are empty, up to `boundary`, which stays. Returns how many."""
        count = 0
        while folder != boundary and folder.is_relative_to(boundary) and not any(folder.iterdir()):
            self._notes.note(Entry(Did.PRUNED, self._notes.name(folder), mode=mode_of(folder)))
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._notes.drop_last()  # another node put something into it just now
                return count
            count += 1
            folder = folder.parent
        return count

    def complete(self) -> dict[str, Json]:
        """Note that all is done, where putting it back depends on that. Returns the undo state."""
        self._notes.is_complete = True
        if any(entry.did in _TELLING or (entry.did is Did.MADE and entry.after) for entry in self._notes.entries):
            self._notes.save()
        return self._notes.as_json()

    def put_back(self) -> None:
        """Undo every change, as `putting_back.put_back` does."""
        put_back(self._notes)


_TELLING = frozenset({Did.ASIDE, Did.REMOVING})
"""Changes of which putting them back asks whether `do` came to its end."""


@contextmanager
def changing(work: Work) -> Iterator[Ledger]:
    """A ledger for one `do`. When the body fails, everything is put back and ActionFailed raised.

    What a killed `do` of the same node left is put back first, so that an undo later finds what stood there at the very start.
    """
    try:  # as `faults_told`, which would be one more generator for each of thousands of links
        ledger = Ledger(work, _put_back_left(work))
        try:
            yield ledger
        except BaseException as error:
            _put_back_after(ledger, error)
            raise
    except OSError as error:
        raise ActionFailed(told(error)) from error


def undo_changes(work: Work, *, each: bool = False) -> None:
    """Put back what `do` changed; nothing where it changed nothing. Raises Drifted, NotUndoable or ActionFailed.

    `each`: what changed since keeps nothing else from being put back.
    """
    notes = LedgerNotes.kept(work)
    if notes is not None:
        with faults_told():
            refuse_led_away(work)
            put_back(notes, each=each)


def _put_back_after(ledger: Ledger, error: BaseException) -> None:
    try:
        ledger.put_back()
    except (OSError, Drifted, NotUndoable) as second:
        raise ActionFailed(f"{error}; and not all of it could be put back: {second}") from error


def _put_back_left(work: Work) -> Mapping[str, str]:
    """Put back what a killed attempt left. Returns the fingerprints of what it had replaced, by how entries name it."""
    left = LedgerNotes.noted(work)
    if left is None:
        return _NOTHING
    replaced = {each.path: each.before for each in left.entries if each.did is Did.REPLACED and each.before != ABSENT}
    try:
        refuse_led_away(work)
        put_back(left)
    except (Drifted, NotUndoable) as error:
        raise ActionFailed(f"what an earlier attempt changed cannot be put back: {error}") from error
    left.reopen()
    return replaced


def has_changed(work: Work) -> bool:
    """Whether `do` of this node came so far that it changed something, and that was not put back."""
    notes = LedgerNotes.kept(work)
    return notes is not None and notes.holds_changes


def is_being_undone(work: Work) -> bool:
    """Whether an undo of this node was begun and did not come to its end: some of its changes may be left."""
    notes = LedgerNotes.noted(work)
    return notes is not None and notes.is_being_put_back


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
