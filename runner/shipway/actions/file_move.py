"""The action `file.move`: renames a file, a link or a directory. Leaves the index of git alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import outside, unplanned
from shipway.file_placing import WITHIN, confined_target, leads_to, refuse_other, target_of
from shipway.file_records import gone, gone_below, moved
from shipway.file_state import Kind, describe, kind_of
from shipway.nodes import Change, Fidelity, Outcome, Verified
from shipway.replacement import changing, faults_told, undo_changes


class FileMove:
    """Moves `source` to `path`; undo moves it back, and brings back what stood at `path`."""

    runs_in: Literal["thread"] = "thread"
    name = "file.move"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "source": SlotRule(
            SlotType.STRING, required=True, description="what to move, which must be there", access=Access.CLEARS
        ),
        "path": SlotRule(
            SlotType.STRING, required=True, description="where to; in the workspace, or absolute", access=Access.CLEARS
        ),
        "source_within": SlotRule(SlotType.STRING, description="the same as `within`, for `source`"),
        "within": WITHIN,
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where the source is there already."""
        unknown = unplanned(work, Change.UPDATE, *self.slots)
        if unknown is not None:
            return unknown
        with faults_told():
            source, path = _ends(work)
            moved = describe(source, with_content=True)
            missing = f"`{work.inputs['source']}` is not there yet" if moved is None else ""
            return Prediction(
                _change(kind_of(path)),
                Fidelity.PREDICTED if missing else Fidelity.EXACT,
                why="; ".join(filter(None, (missing, outside(work.root, path)))),
                before=describe(path, with_content=True),
                after=moved,
                outputs={"path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Move it, and make the directories above `path` that are missing. Fails where nothing is at `source`."""
        with changing(work) as ledger:
            source, path = _ends(work)
            if kind_of(source) is Kind.ABSENT:
                raise ActionFailed(f"`source` `{work.inputs['source']}` is not there")
            kind = kind_of(path)
            name, from_name = work.inputs["path"], work.inputs["source"]
            left = (*gone_below(path, name), *gone(source, from_name))
            ledger.make_parents(path)
            if kind is not Kind.ABSENT:
                ledger.put_aside(path)
            ledger.rename(source, path)
            records = (*left, *moved(path, name, from_name))
            return Done({"path": name}, undo=ledger.complete(), change=_change(kind), records=records)

    def undo(self, work: Work) -> None:
        """Move it back, and bring back what stood at `path`."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether `path` is there and `source` is not, or is a link to it by now; `unknown` where neither is there."""
        try:
            ends = _ends(work)
            source, path = map(kind_of, ends)
            if path is not Kind.ABSENT and leads_to(ends[0], str(ends[1])):
                return Verified.HOLDS
        except (ActionFailed, OSError):
            return Verified.UNKNOWN
        if source is not Kind.ABSENT:
            return Verified.GONE
        # One that failed has moved nothing: what is at `path` was there, and `source` was not.
        return Verified.UNKNOWN if path is Kind.ABSENT or work.outcome is Outcome.FAILED else Verified.HOLDS


def _ends(work: PlanWork | Work) -> tuple[Path, Path]:
    source = confined_target(work, "source", "source_within")
    path = target_of(work)
    if source == path or source in path.parents or path in source.parents:
        named = work.inputs
        raise ActionFailed(f"`source` `{named['source']}` and `path` `{named['path']}` are one inside the other")
    for end in (source, path):
        refuse_other(end, kind_of(end))
    return source, path


def _change(kind: Kind) -> Change:
    return Change.CREATE if kind is Kind.ABSENT else Change.REPLACE
