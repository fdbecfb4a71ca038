"""The action `file.copy`: the bytes of one file, or of a text, into another. Follows a link at its source only."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import (
    Content,
    plan_content,
    put_content,
    sha256_of,
    source_file,
    unplanned,
    verify_content,
    waiting,
)
from shipway.file_placing import ON_CONFLICT, OWNER, WITHIN
from shipway.file_state import locate
from shipway.nodes import Change, Verified
from shipway.replacement import faults_told, undo_changes


class FileCopy:
    """Copies `source`, or `content`, to `path` at once or not at all; undo brings back what stood there."""

    runs_in: Literal["thread"] = "thread"
    name = "file.copy"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="where to copy to; in the workspace, or absolute",
            access=Access.WRITES,
        ),
        "source": SlotRule(SlotType.STRING, description="the file to copy; this or `content`", access=Access.READS),
        "content": SlotRule(SlotType.STRING, description="the text to copy; this or `source`"),
        "mode": SlotRule(SlotType.STRING, default="0644", description="permission bits of the copy, octal"),
        "owner": OWNER,
        "within": WITHIN,
        "on_conflict": ON_CONFLICT,
    }
    outputs: Mapping[str, OutputRule] = {"sha256": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where the bytes can be read now; else what of it is known."""
        _refuse_both_or_neither(work.inputs.keys() | work.unknown.keys())
        unknown = unplanned(work, Change.UPDATE, "path", "mode")
        if unknown is not None:
            return unknown
        why = waiting(work, "source", "content") or _missing(work)
        if why:
            return plan_content(work, None, why, {})
        content = _content(work)
        with faults_told():
            outputs = {"sha256": sha256_of(content)}
        return plan_content(work, content, "", outputs)

    def do(self, work: Work) -> Done:
        """Write the copy, and the directories above it that are missing."""
        _refuse_both_or_neither(work.inputs.keys())
        content = _content(work)
        with faults_told():
            outputs = {"sha256": sha256_of(content)}
        return put_content(work, content, outputs)

    def undo(self, work: Work) -> None:
        """Bring back what stood there, and remove the directories that were made."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the copy has the bytes and the mode; `unknown` where the source is no longer there."""
        try:
            return verify_content(work, _content(work))
        except ActionFailed:
            return Verified.UNKNOWN


def _refuse_both_or_neither(given: Set[str]) -> None:
    if ("source" in given) == ("content" in given):
        raise ActionFailed("give one of `source` and `content`")


def _missing(work: PlanWork) -> str:
    source = work.inputs.get("source")
    is_missing = source is not None and not locate(work.root, source, "source").exists()
    return f"`{source}` is not there yet" if is_missing else ""


def _content(work: PlanWork | Work) -> Content:
    source = work.inputs.get("source")
    return str(work.inputs["content"]).encode() if source is None else source_file(work.root, source)
