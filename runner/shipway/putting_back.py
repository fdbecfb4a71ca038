"""Puts changes among files back, the last first, once it is sure that nothing came in between. Makes none; see `replacement`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shipway.action import Drifted, NotUndoable
from shipway.file_moves import move_over, remove
from shipway.file_state import ABSENT, Kind, fingerprint, kind_of
from shipway.ledger_notes import Did, Entry, LedgerNotes


def put_back(notes: LedgerNotes, *, each: bool = False) -> None:
    """Undo every change, the last first; what is put back already is passed over.

    Raises Drifted before anything is touched where something changed since, NotUndoable where what was put aside is gone.
    `each`: what changed since is left alone by itself, all else is put back, and then Drifted is raised with their paths.
    """
    notes.unfold()
    back = _PuttingBack(notes)
    left = notes.entries[: max(0, len(notes.entries) - notes.put_back_count)]
    changed: dict[Entry, Drifted] = {}
    standing = []
    for entry in reversed(left):
        try:
            standing.append((entry, back.stands(entry)))
        except Drifted as drifted:
            if not each:
                raise
            standing.append((entry, False))
            changed[entry] = drifted
    notes.begin_put_back()
    for entry, stands in standing:
        if stands:
            back.reverse(entry)
        notes.note_put_back()
    if changed:
        notes.keep([entry for entry in left if entry in changed])
        raise _all_drifted(changed)
    notes.close()


class _PuttingBack:
    """The changes of one ledger, asked about from the last: `_cleared` are the paths where nothing will be left by then."""

    def __init__(self, notes: LedgerNotes) -> None:
        self._notes = notes
        self._cleared: set[str] = set()

    def stands(self, entry: Entry) -> bool:
        """Whether a change is there to be put back."""
        path = self._notes.at(entry.path)
        now = ABSENT if entry.path in self._cleared else fingerprint(path)
        match entry.did:
            case Did.TEMPORARY:
                return now != ABSENT
            case Did.MADE:
                stands = self._stands_made(entry, path, now)
                self._cleared.add(entry.path)
                return stands
            case Did.PRUNED:
                if now != ABSENT and kind_of(path) is not Kind.DIRECTORY:
                    raise _drifted(entry, now)
                return now == ABSENT
            case Did.REMOVING:
                self._cleared.add(entry.path)
                if self._notes.is_complete and now != ABSENT:
                    raise _drifted(entry, now)
                return now != ABSENT
            case Did.ASIDE:
                return self._stands_aside(entry, now)
            case Did.REPLACED:
                return self._stands_replaced(entry, now)
            case Did.RENAMED:
                return self._stands_renamed(entry, now)
            case Did.LINKED:
                return False  # there is none: each link has an entry of its own by now

    def _stands_made(self, entry: Entry, path: Path, now: str) -> bool:
        if not entry.after:  # a parent: even where it is gone, the claim on it is given up
            return True
        if now == ABSENT:
            return False
        if self._notes.is_complete:
            if now != entry.after:
                raise _drifted(entry, now)
            if any(self._notes.name(inner) not in self._cleared for inner in path.iterdir()):
                raise Drifted(f"`{entry.path}` is no longer empty; it is left alone")
        return kind_of(path) is Kind.DIRECTORY

    def _stands_aside(self, entry: Entry, now: str) -> bool:
        is_kept = kind_of(self._notes.scratch / entry.aside) is not Kind.ABSENT
        if now == ABSENT:
            if not is_kept and self._notes.is_complete:
                raise NotUndoable(f"what stood at `{entry.path}` is no longer kept")
            return is_kept
        # Killed while it was copied to another file system: the original is still whole.
        if is_kept and self._notes.is_complete:
            raise _drifted(entry, now)
        return False

    def _stands_replaced(self, entry: Entry, now: str) -> bool:
        if entry.before == ABSENT:
            self._cleared.add(entry.path)
        if now == entry.before:
            return False
        if now != entry.after:
            raise _drifted(entry, now)
        if entry.aside and kind_of(self._notes.scratch / entry.aside) is Kind.ABSENT:
            raise NotUndoable(f"what stood at `{entry.path}` is no longer kept")
        return True

    def _stands_renamed(self, entry: Entry, now: str) -> bool:
        self._cleared.add(entry.path)
        at_source = fingerprint(self._notes.at(entry.source))
        if at_source == entry.after and now == ABSENT:
            return False
        if now != entry.after or at_source != ABSENT:
            raise _drifted(entry, now)
        return True

    def reverse(self, entry: Entry) -> None:
        """Put one change back that is there."""
        path = self._notes.at(entry.path)
        match entry.did:
            case Did.MADE if not entry.after:
                with self._notes.notebook:
                    self._notes.made.leave(path)
            case Did.MADE:
                if not any(path.iterdir()):
                    path.rmdir()
            case Did.PRUNED:
                path.mkdir()
                path.chmod(int(entry.mode, 8))
            case Did.ASIDE:
                move_over(self._notes.scratch / entry.aside, path, self._notes.note_temporary)
            case Did.REPLACED if entry.aside:
                move_over(self._notes.scratch / entry.aside, path, self._notes.note_temporary)
            case Did.RENAMED:
                path.rename(self._notes.at(entry.source))
            case Did.REPLACED | Did.REMOVING | Did.TEMPORARY:
                remove(path)


def _drifted(entry: Entry, now: str) -> Drifted:
    was, became = (entry.after or ABSENT).split()[0], now.split()[0]
    same = "leads elsewhere by now" if was == "link" else "has other content or another mode by now"
    what = f"is {became}, not {was}, by now" if was != became else same
    return Drifted(f"`{entry.path}` {what}; it is left alone")


_MOST_TOLD = 5


def _all_drifted(changed: Mapping[Entry, Drifted]) -> Drifted:
    """What changed since, told of together; the last of a ledger is the first that was looked at."""
    told = [str(drifted) for drifted in reversed(list(changed.values()))]
    more = len(told) - _MOST_TOLD
    text = "; ".join([*told[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])])
    return Drifted(text, left=tuple(entry.path for entry in reversed(list(changed))))
