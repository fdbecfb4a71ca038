"""The action `file.backup`: moves what stands at a path beside it, under a name with the time. Removes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import outside, unplanned, verified
from shipway.file_state import Kind, describe, kind_of, locate, locate_target
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import changing, faults_told, undo_changes


class FileBackup:
    """Renames `path` to `<path><suffix>.<YYYYMMDD-HHMMSS>`, in UTC; undo renames it back.

    A second backup within one second gets `-2` behind its time, and so on.
    """

    runs_in: Literal["thread"] = "thread"
    name = "file.backup"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="what to move; in the workspace, or absolute",
            access=Access.CLEARS,
        ),
        "backup_suffix": SlotRule(
            SlotType.STRING, default=".backup", description="stands between its name and the time"
        ),
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Predicted: the name of the backup holds a time that is not known yet."""
        unknown = unplanned(work, Change.UPDATE, "path", "backup_suffix")
        if unknown is not None:
            return unknown
        with faults_told():
            path = locate_target(work.root, work.inputs["path"])
            before = describe(path)
            why = "the name of the backup holds the time" if before is not None else "there is nothing to move yet"
            remark = outside(work.root, path)
            why = f"{why}; {remark}" if remark else why
            return Prediction(Change.UPDATE, Fidelity.PREDICTED, why=why, before=before, reversible=True)

    def do(self, work: Work) -> Done:
        """Rename it. Fails where nothing is there. Output `path` is the backup's."""
        with changing(work) as ledger:
            text = str(work.inputs["path"])
            path = locate_target(work.root, text)
            if kind_of(path) is Kind.ABSENT:
                raise ActionFailed(f"`path` `{text}` is not there")
            name = _free_name(path, _stem(work))
            ledger.rename(path, path.with_name(name))
            return Done({"path": str(Path(text).with_name(name))}, undo=ledger.complete(), change=Change.UPDATE)

    def undo(self, work: Work) -> None:
        """Rename it back."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the backup is there; where its name is not known, whether nothing is left at `path`."""
        backup = work.outputs.get("path")
        if backup is not None:
            return verified(lambda: kind_of(locate(work.root, backup)) is not Kind.ABSENT)
        return verified(lambda: kind_of(locate(work.root, work.inputs["path"])) is Kind.ABSENT)


def _stem(work: Work) -> str:
    suffix = str(work.inputs["backup_suffix"])
    if "/" in suffix:
        raise ActionFailed(f"`backup_suffix` `{suffix}` holds a `/`")
    moment = datetime.fromtimestamp(work.started_ms // 1000, UTC)
    return f"{Path(str(work.inputs['path'])).name}{suffix}.{moment:%Y%m%d-%H%M%S}"


def _free_name(path: Path, stem: str) -> str:
    name, number = stem, 1
    while kind_of(path.with_name(name)) is not Kind.ABSENT:
        number += 1
        name = f"{stem}-{number}"
    return name
