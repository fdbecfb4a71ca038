"""Something at a path, removed so that it can be brought back. The common ground of the actions that remove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.file_content import outside, unplanned, verified
from shipway.file_placing import ON_CONFLICT, WITHIN, decided, left_alone, target_of
from shipway.file_records import gone, gone_above
from shipway.file_state import Kind, describe, kind_of, locate
from shipway.nodes import Change, Fidelity, Verified
from shipway.replacement import changing, faults_told

REMOVAL_SLOTS: Mapping[str, SlotRule] = {
    "path": SlotRule(
        SlotType.STRING,
        required=True,
        description="what to remove; in the workspace, or absolute",
        access=Access.CLEARS,
    ),
    "prune": SlotRule(
        SlotType.BOOLEAN, default=False, description="also remove the folders above it that become empty"
    ),
    "prune_boundary": SlotRule(SlotType.STRING, description="the folder where pruning stops; default: the workspace"),
    "within": WITHIN,
    "on_conflict": ON_CONFLICT,
}


def plan_removal(work: PlanWork, refuse: Callable[[Path], None]) -> Prediction:
    """The prediction of a node that removes slot `path`; `refuse` raises ActionFailed for what it does not remove."""
    unknown = unplanned(work, Change.DELETE, *REMOVAL_SLOTS)
    if unknown is not None:
        return unknown
    with faults_told():
        path = target_of(work)
        refuse(path)
        _boundary(work.root, path, work.inputs)
        if (alone := left_alone(work, path, kind_of(path))) is not None:
            return alone
        before = describe(path, with_content=True)
        return Prediction(
            Change.NOOP if before is None else Change.DELETE,
            Fidelity.EXACT,
            why=outside(work.root, path),
            before=before,
            outputs={"path": work.inputs["path"]},
            reversible=True,
        )


def remove(work: Work, refuse: Callable[[Path], None]) -> Done:
    """Remove slot `path`, and what pruning finds; `unchanged` where nothing is there."""
    outputs = {"path": work.inputs["path"]}
    with changing(work) as ledger:
        path = target_of(work)
        refuse(path)
        boundary = _boundary(work.root, path, work.inputs)
        if kind_of(path) is Kind.ABSENT:
            return Done(outputs, unchanged=True, change=Change.NOOP, records=tuple(gone(path, work.inputs["path"])))
        if (ended := decided(work, path, kind_of(path))) is not None:
            return ended
        records = gone(path, work.inputs["path"])
        ledger.put_aside(path)
        if boundary is not None:
            records += gone_above(work.inputs["path"], ledger.prune(path.parent, boundary))
        return Done(outputs, undo=ledger.complete(), change=Change.DELETE, records=tuple(records))


def verify_removal(work: Work) -> Verified:
    """Whether nothing is at slot `path`."""
    return verified(lambda: kind_of(locate(work.root, work.inputs["path"])) is Kind.ABSENT)


def _boundary(root: Path, path: Path, inputs: Mapping[str, Json]) -> Path | None:
    """The folder where pruning stops; None where nothing is pruned."""
    if inputs.get("prune") is not True:
        return None
    text = inputs.get("prune_boundary")
    boundary = root if text is None else locate(root, text, "prune_boundary")
    if boundary not in path.parents:
        raise ActionFailed(
            f"`path` `{inputs['path']}` is not below `{boundary}`, where pruning stops: set `prune_boundary`"
        )
    return boundary
