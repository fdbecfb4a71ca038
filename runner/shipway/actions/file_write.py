"""The action `file.write`: text into a file, in place of whatever stands there. Follows no link at its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import Access, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import plan_content, put_content, unplanned, verify_content, waiting
from shipway.file_placing import ON_CONFLICT, OWNER, WITHIN
from shipway.nodes import Change, Verified
from shipway.replacement import undo_changes


class FileWrite:
    """Writes `content` to `path` at once or not at all; undo brings back the file, link or directory that stood there."""

    runs_in: Literal["thread"] = "thread"
    name = "file.write"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="where to write; in the workspace, or absolute",
            access=Access.WRITES,
        ),
        "content": SlotRule(SlotType.STRING, required=True, description="the text; an empty one is allowed"),
        "mode": SlotRule(SlotType.STRING, default="0644", description="permission bits, octal"),
        "owner": OWNER,
        "within": WITHIN,
        "on_conflict": ON_CONFLICT,
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact where path and content are known; else what of it is."""
        unknown = unplanned(work, Change.UPDATE, "path", "mode")
        if unknown is not None:
            return unknown
        why = waiting(work, "content")
        content = None if why else _content(work)
        return plan_content(work, content, why, {"path": work.inputs["path"]})

    def do(self, work: Work) -> Done:
        """Write the file, and the directories above it that are missing."""
        return put_content(work, _content(work), {"path": work.inputs["path"]})

    def undo(self, work: Work) -> None:
        """Bring back what stood there, and remove the directories that were made."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the file has this content and mode."""
        return verify_content(work, _content(work))


def _content(work: PlanWork | Work) -> bytes:
    return str(work.inputs["content"]).encode()
