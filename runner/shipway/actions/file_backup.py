"""The action `file.backup`: moves what stands at a path beside it, under a name with the time. Removes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import outside, sha256_of, source_file, unplanned, verified
from shipway.file_placing import WITHIN, is_ours, leads_to, link_text, seen, target_of
from shipway.file_records import BACKUP, gone, moved
from shipway.file_state import Kind, Real, describe, file_sha256, kind_of, locate
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import changing, faults_told, has_changed, undo_changes

_FREE = "nothing is in the way"
_UNLESS = ("unless_link_to", "unless_copy_of", "unless_content")


class FileBackup:
    """Renames `path` to `<path><suffix>.<YYYYMMDD-HHMMSS>`, in UTC; undo renames it back.

    A second backup within one second gets `-2` behind its time, and so on. With an `unless_…` slot nothing has to be there, and
    what the state says we put there is left as well.
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
        "unless_link_to": SlotRule(SlotType.STRING, description="a link to this file is left where it is"),
        "unless_copy_of": SlotRule(SlotType.STRING, description="a file with the content of this one is left"),
        "unless_content": SlotRule(SlotType.STRING, description="a file with this text is left"),
        "within": WITHIN,
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Predicted: the name of the backup holds a time that is not known yet."""
        unknown = unplanned(work, Change.UPDATE, "path", "backup_suffix", *_UNLESS)
        if unknown is not None:
            return unknown
        with faults_told():
            path = target_of(work)
            if isinstance(found := seen(path), Prediction):
                return found
            if _is_spared(work, path):
                outputs = {"path": work.inputs["path"]}
                return Prediction(Change.NOOP, Fidelity.EXACT, why=_FREE, before=describe(path), outputs=outputs)
            before = describe(path)
            why = "the name of the backup holds the time" if before is not None else "there is nothing to move yet"
            remark = outside(work.root, path)
            why = f"{why}; {remark}" if remark else why
            return Prediction(Change.UPDATE, Fidelity.PREDICTED, why=why, before=before, reversible=True)

    def do(self, work: Work) -> Done:
        """Rename it. Fails where nothing is there. Output `path` is the backup's."""
        with changing(work) as ledger:
            text = str(work.inputs["path"])
            path = target_of(work)
            if _is_spared(work, path):
                return Done({"path": text}, unchanged=True, change=Change.NOOP)
            if kind_of(path) is Kind.ABSENT:
                raise ActionFailed(f"`path` `{text}` is not there")
            name = _free_name(path, _stem(work))
            left = gone(path, text)
            ledger.rename(path, path.with_name(name))
            backup = str(Path(text).with_name(name))
            records = (*left, *moved(path.with_name(name), backup, text, BACKUP))
            return Done({"path": backup}, undo=ledger.complete(), change=Change.UPDATE, records=records)

    def recognized(self, work: Work, real: Real) -> Done | None:
        """What `do` says where nothing stands there, or a link that is left; of a file `do` reads what is in it."""
        path = target_of(work, real)
        if kind_of(path) in (Kind.ABSENT, Kind.LINK) and _is_spared(work, path):
            return Done({"path": str(work.inputs["path"])}, unchanged=True, change=Change.NOOP)
        return None

    def undo(self, work: Work) -> None:
        """Rename it back."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the backup is there; where its name is not known, whether `path` was moved away."""
        backup = work.outputs.get("path")
        if backup is not None:
            return verified(lambda: kind_of(locate(work.root, backup)) is not Kind.ABSENT)
        return verified(lambda: has_changed(work) and kind_of(locate(work.root, work.inputs["path"])) is Kind.ABSENT)


def _is_spared(work: PlanWork | Work, path: Path) -> bool:
    """Whether what stands there is what will be put there, or is ours already, or nothing stands there."""
    given = {name: work.inputs[name] for name in _UNLESS if name in work.inputs}
    if not given:
        return False
    kind = kind_of(path)
    if kind is Kind.ABSENT or is_ours(work.node, path):
        return True
    if "unless_link_to" in given:
        return leads_to(path, link_text(work.root, path, given["unless_link_to"]))
    if kind is not Kind.FILE:
        return False
    if "unless_copy_of" in given:
        return file_sha256(path) == sha256_of(source_file(work.root, given["unless_copy_of"], "unless_copy_of"))
    return file_sha256(path) == sha256_of(str(given["unless_content"]).encode())


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
