"""The action `file.remove`: removes a file, a link or a directory with all that is in it. Undo brings it back whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Done, PlanWork, Prediction, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.file_placing import refuse_other
from shipway.file_removal import REMOVAL_SLOTS, plan_removal, remove, verify_removal
from shipway.file_state import kind_of
from shipway.nodes import Verified
from shipway.replacement import undo_changes


class FileRemove:
    """Moves what stands at `path` into the run's own folder, from where undo brings it back."""

    runs_in: Literal["thread"] = "thread"
    name = "file.remove"
    contract = 1
    slots: Mapping[str, SlotRule] = REMOVAL_SLOTS
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact: what is removed, a directory with the number of entries in it."""
        return plan_removal(work, _refuse_device)

    def do(self, work: Work) -> Done:
        """Remove it; `unchanged` where nothing is there."""
        return remove(work, _refuse_device)

    def undo(self, work: Work) -> None:
        """Bring it back, and the folders that were pruned."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether nothing is at `path`."""
        return verify_removal(work)


def _refuse_device(path: Path) -> None:
    refuse_other(path, kind_of(path))
