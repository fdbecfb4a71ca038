"""The action `archive.extract`: a .tar.gz or .zip unpacked below a folder. Writes nothing before the whole archive was checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal

from msgspec import Struct

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.archive import HostileArchive
from shipway.archive_members import Sink, nowhere, read_members
from shipway.archive_names import Member, MemberKind
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import outside, source_file, unplanned, verified
from shipway.file_records import gone_below, here
from shipway.file_state import Kind, file_fingerprint, fingerprint, kind_of, link_fingerprint, locate
from shipway.nodes import DONE, Change, Fidelity, Verified
from shipway.records import Record
from shipway.replacement import Ledger, Placement, changing, faults_told, is_being_undone, undo_changes

BYTES_MAX = 1 << 30
"""What an archive may hold, unless `max_bytes` says otherwise."""


_PLURALS = {"directories": MemberKind.DIRECTORY, "files": MemberKind.FILE, "links": MemberKind.LINK}


class ArchiveExtract:
    """Unpacks `source` below `prefix`; undo brings back what was replaced and removes the rest, as long as nothing was added.

    What is there as it is in the archive stays untouched; what is there besides stays as well. An archive that holds anything
    but files, folders and links below its own top, each once, is refused as a whole.
    """

    runs_in: Literal["thread"] = "thread"
    name = "archive.extract"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "source": SlotRule(
            SlotType.STRING, required=True, description="the .tar.gz, .tgz or .zip", access=Access.READS
        ),
        "prefix": SlotRule(
            SlotType.STRING,
            required=True,
            description="the folder to unpack into; in the workspace, or absolute",
            access=Access.CLEARS,
        ),
        "max_bytes": SlotRule(
            SlotType.INTEGER, default=BYTES_MAX, description="how many bytes its files may have together"
        ),
    }
    outputs: Mapping[str, OutputRule] = {"prefix": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where the archive is there and nothing runs before that could still write it."""
        unknown = unplanned(work, Change.UPDATE, "prefix", "source", "max_bytes")
        if unknown is not None:
            return unknown
        with faults_told():
            prefix = _prefix(work.root, work.inputs)
            remark = outside(work.root, prefix)
            source = work.inputs["source"]
            if not locate(work.root, source, "source").exists():
                why = "; ".join(filter(None, (f"`{source}` is not there yet", remark)))
                return Prediction(Change.UPDATE, Fidelity.OPAQUE, why=why, reversible=True)
            found = _Contents(prefix, _members(work))
            why = "it is unpacked after what it needs" if work.node.needs else ""
            return Prediction(
                found.change,
                Fidelity.PREDICTED if why else Fidelity.EXACT,
                why="; ".join(filter(None, (why, remark))),
                before={"kind": "tree", "same": len(found.members) - len(found.others), "replaced": found.replaced},
                after=found.described(),
                outputs={"prefix": work.inputs["prefix"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Unpack it, and make the folders that are missing. Fails with nothing written for an archive that is not in order."""
        outputs = {"prefix": work.inputs["prefix"]}
        with changing(work) as ledger:
            prefix = _prefix(work.root, work.inputs)
            found = _Contents(prefix, _members(work, _until_cancelled(work, nowhere)))
            if not found.others:
                return Done(outputs, unchanged=True, change=Change.NOOP, records=_records(work, found.members))
            new = _unpacked(work, found, ledger)
            covered = _covered(work, found)
            ledger.make_parents(prefix / "member")
            ledger.place(new)
            records = (*covered, *_records(work, found.members))
            return Done(outputs, undo=ledger.complete(), change=found.change, records=records)

    def undo(self, work: Work) -> None:
        """Bring back what was replaced, and remove what was made."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether all that is in the archive stands below `prefix`; `unknown` where the archive is no longer there.

        While it is taken back, whether any of it may be left.
        """
        if work.outcome in DONE and is_being_undone(work):
            return Verified.HOLDS
        return verified(lambda: not _Contents(_prefix(work.root, work.inputs), _members(work)).others)


class _Contents:
    """What an archive holds, and what of that is not there yet, or is otherwise (`others`)."""

    def __init__(self, prefix: Path, members: Sequence[Member]) -> None:
        self.prefix = prefix
        self.members = members
        self.others: list[Member] = []
        self.replaced = 0
        missing: set[str] = set()
        for member in members:
            above = member.path.rpartition("/")[0]
            kind = Kind.ABSENT if above in missing else kind_of(prefix / member.path)
            if kind is Kind.DIRECTORY and member.kind is MemberKind.DIRECTORY:
                continue
            if kind is not Kind.DIRECTORY and member.kind is MemberKind.DIRECTORY:
                missing.add(member.path)  # whatever is behind a link or below a file there is not below this folder
            if kind is Kind.ABSENT or fingerprint(prefix / member.path) != _after(member):
                self.others.append(member)
                self.replaced += kind is not Kind.ABSENT

    @property
    def change(self) -> Change:
        if not self.others:
            return Change.NOOP
        return Change.CREATE if len(self.others) == len(self.members) and not self.replaced else Change.UPDATE

    def described(self) -> dict[str, Json]:
        """As a plan shows it."""
        counts: dict[str, Json] = {
            plural: sum(member.kind is kind for member in self.members) for plural, kind in _PLURALS.items()
        }
        return {"kind": "tree", **counts, "size": sum(member.size for member in self.members)}


class _Staging(Struct, frozen=True):
    """Where the content of a member waits to be put in its place."""

    places: dict[str, Path]

    def sink(self, path: str) -> BinaryIO | None:
        place = self.places.get(path)
        return None if place is None else place.open("wb")


def _unpacked(work: Work, found: _Contents, ledger: Ledger) -> list[Placement]:
    """Everything that has to be put somewhere, its content in scratch."""
    wanted = dict.fromkeys(member.copy_of or member.path for member in found.others if member.kind is MemberKind.FILE)
    staging = _Staging({path: ledger.new_place() for path in wanted})
    if _members(work, _until_cancelled(work, staging.sink)) != found.members:
        raise ActionFailed(f"`{work.inputs['source']}` changed while it was unpacked")
    return [Placement(found.prefix / each.path, _after(each), _new(each, staging, ledger)) for each in found.others]


def _records(work: Work, members: Sequence[Member]) -> tuple[Record, ...]:
    """Of every file and link in it; folders stand for nothing but what is in them."""
    prefix, source = str(work.inputs["prefix"]), work.inputs["source"]
    return tuple(
        here(f"{prefix}/{each.path}", _after(each), "extracted", source=source)
        for each in members
        if each.kind is not MemberKind.DIRECTORY
    )


def _covered(work: Work, found: _Contents) -> list[Record]:
    """What was below the folders that files and links take the place of."""
    taken = [each.path for each in found.others if each.kind is not MemberKind.DIRECTORY]
    return [one for path in taken for one in gone_below(found.prefix / path, f"{work.inputs['prefix']}/{path}")]


def _until_cancelled(work: Work, sink: Sink) -> Sink:
    def checked(path: str) -> AbstractContextManager[BinaryIO] | None:
        if work.cancelled():
            raise ActionFailed("it was stopped while it unpacked")
        return sink(path)

    return checked


def _new(member: Member, staging: _Staging, ledger: Ledger) -> Path | None:
    match member.kind:
        case MemberKind.DIRECTORY:
            return None
        case MemberKind.LINK:
            return ledger.new_link(member.target)
    if member.copy_of:
        return ledger.new_file(staging.places[member.copy_of], member.mode)
    place = staging.places[member.path]
    place.chmod(int(member.mode, 8))
    return place


def _after(member: Member) -> str:
    """The fingerprint of what a member becomes."""
    match member.kind:
        case MemberKind.DIRECTORY:
            return f"directory {member.mode}"
        case MemberKind.LINK:
            return link_fingerprint(member.target)
        case _:
            return file_fingerprint(member.mode, member.sha256)


def _members(work: PlanWork | Work, sink: Sink = nowhere) -> list[Member]:
    """What is in the archive, the folders that it does not name among it, each before what is in it."""
    source, most = work.inputs["source"], work.inputs["max_bytes"]
    if not isinstance(most, int) or most < 0:
        raise ActionFailed(f"`max_bytes` is `{most}`: write how many bytes, such as {BYTES_MAX}")
    path = source_file(work.root, source)
    try:
        with faults_told():
            found = read_members(path, most, sink)
    except HostileArchive as error:
        raise ActionFailed(f"`{source}` is not unpacked: {error}", code="hostile_archive", is_permanent=True) from error
    prefix, root = (Path(os.path.realpath(place)) for place in (_prefix(work.root, work.inputs), work.root))
    if root.is_relative_to(prefix):
        _refuse_own(str(source), root.relative_to(prefix).parts, found)
    return _with_folders(found)


def _refuse_own(source: str, above: Sequence[str], members: Sequence[Member]) -> None:
    """An archive unpacked over a whole checkout may change that, and neither replace it nor what git and Shipway go by.

    `above` are the names that lead from the folder it is unpacked into to the checkout.
    """
    folded = [name.casefold() for name in above]
    for member in members:
        parts = member.path.casefold().split("/")
        is_under = parts[: len(folded)] == folded and parts[len(folded) :][:1] in ([".git"], [".shipway"])
        is_over = member.kind is not MemberKind.DIRECTORY and parts == folded[: len(parts)]
        if is_under or is_over:
            raise ActionFailed(f"`{source}` is not unpacked over the workspace: it holds `{member.path}`")


def _with_folders(members: Sequence[Member]) -> list[Member]:
    folders = {member.path: member for member in members if member.kind is MemberKind.DIRECTORY}
    for member in members:
        above = member.path.rpartition("/")[0]
        while above and above not in folders:
            folders[above] = Member(above, MemberKind.DIRECTORY, "0755")
            above = above.rpartition("/")[0]
    return [*sorted(folders.values(), key=lambda folder: folder.path), *(m for m in members if m.path not in folders)]


def _prefix(root: Path, inputs: Mapping[str, Json]) -> Path:
    """The folder to unpack into. Raises ActionFailed where something else stands there, or above it."""
    prefix = locate(root, inputs["prefix"], "prefix")
    kind = kind_of(prefix)
    if kind not in (Kind.ABSENT, Kind.DIRECTORY):
        raise ActionFailed(f"`prefix` `{inputs['prefix']}` is a {kind.value}, not a folder")
    return prefix
