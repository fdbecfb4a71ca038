"""The action `file.mkdir`: makes a directory. Leaves one that is there as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import outside, unplanned, verified
from shipway.file_records import here
from shipway.file_state import Kind, Real, describe, fingerprint, kind_of, locate, parse_mode
from shipway.nodes import Change, Fidelity, Verified
from shipway.records import Record
from shipway.replacement import changing, faults_told, undo_changes


class FileMkdir:
    """Makes the directory `path` and those above it; undo removes what was made, as long as it is empty.

    A directory that is there is `unchanged`, its mode too: `mode` is that of a new one.
    """

    runs_in: Literal["thread"] = "thread"
    is_quick: Literal[True] = True
    name = "file.mkdir"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="the directory; in the workspace, or absolute",
            access=Access.WRITES,
        ),
        "mode": SlotRule(SlotType.STRING, default="0755", description="permission bits of a new directory, octal"),
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact."""
        unknown = unplanned(work, Change.CREATE, "path", "mode")
        if unknown is not None:
            return unknown
        with faults_told():
            path = locate(work.root, work.inputs["path"])
            before = describe(path)
            is_there = kind_of(path) is Kind.DIRECTORY
            return Prediction(
                Change.NOOP if is_there else Change.CREATE,
                Fidelity.EXACT,
                why=outside(work.root, path),
                before=before,
                after=before if is_there else {"kind": "directory", "mode": parse_mode(work.inputs["mode"])},
                outputs={"path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Make it. Fails where something else stands there."""
        outputs = {"path": work.inputs["path"]}
        with changing(work) as ledger:
            path = locate(work.root, work.inputs["path"])
            kind = kind_of(path)
            if kind is Kind.DIRECTORY:
                return Done(outputs, unchanged=True, change=Change.NOOP, records=_records(work, path))
            if kind is not Kind.ABSENT:
                raise ActionFailed(f"`path` `{work.inputs['path']}` is a {kind.value}, not a directory")
            ledger.make_parents(path)
            ledger.make_directory(path, parse_mode(work.inputs["mode"]))
            return Done(outputs, undo=ledger.complete(), change=Change.CREATE, records=_records(work, path))

    def recognized(self, work: Work, real: Real) -> Done | None:
        """What `do` says where it is there already."""
        path = locate(work.root, work.inputs["path"], "path", real)
        if kind_of(path) is not Kind.DIRECTORY:
            return None
        outputs = {"path": work.inputs["path"]}
        return Done(outputs, unchanged=True, change=Change.NOOP, records=_records(work, path))

    def undo(self, work: Work) -> None:
        """Remove what was made. Raises Drifted where something is in it."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the directory is there."""
        return verified(lambda: kind_of(locate(work.root, work.inputs["path"])) is Kind.DIRECTORY)


def _records(work: Work, path: Path) -> tuple[Record, ...]:
    return (here(work.inputs["path"], fingerprint(path), "directory"),)
