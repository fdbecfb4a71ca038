"""The action `file.unlink`: removes a symbolic link, and the folders that this leaves empty if asked to. Nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.file_removal import REMOVAL_SLOTS, plan_removal, remove, verify_removal
from shipway.file_state import Kind, kind_of
from shipway.nodes import Verified
from shipway.replacement import undo_changes


class FileUnlink:
    """Removes the link at `path`; undo makes the same link again, and the folders that were pruned."""

    runs_in: Literal["thread"] = "thread"
    name = "file.unlink"
    contract = 1
    slots: Mapping[str, SlotRule] = REMOVAL_SLOTS
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact: what is removed."""
        return plan_removal(work, _refuse_other_than_link)

    def do(self, work: Work) -> Done:
        """Remove it; `unchanged` where nothing is there. Fails for anything but a link."""
        return remove(work, _refuse_other_than_link)

    def undo(self, work: Work) -> None:
        """Bring it back."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether nothing is at `path`."""
        return verify_removal(work)


def _refuse_other_than_link(path: Path) -> None:
    if kind_of(path) not in (Kind.LINK, Kind.ABSENT):
        raise ActionFailed(f"`{path}` is a {kind_of(path).value}, not a link; `file.remove` removes it")
