"""The action `file.link`: a symbolic link, in place of whatever stands there. Touches nothing at the link's source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.declaration import OutputRule
from shipway.file_content import CHANGE_OF, outside, unplanned, verified
from shipway.file_placing import (
    ON_CONFLICT,
    WITHIN,
    confined_place,
    decided,
    leads_alike,
    leads_to,
    left_alone,
    link_to,
    refuse_other,
    seen,
)
from shipway.file_records import gone_below, here
from shipway.file_state import (
    Kind,
    Real,
    describe,
    describe_link,
    kind_of,
    link_at,
    link_fingerprint,
    place_of,
    real_folder,
    remembering,
)
from shipway.nodes import Change, Fidelity, Verified
from shipway.records import Record
from shipway.replacement import changing, faults_told, undo_changes

_CHANGE_OF = {**CHANGE_OF, Kind.LINK: Change.UPDATE, Kind.FILE: Change.REPLACE}


class FileLink:
    """Links `path` to `source`; undo brings back the link, file or directory that stood there.

    A relative `source` becomes a relative link, so that the workspace can be moved; an absolute one stays absolute. A link
    that leads to the same place in other words is `unchanged`.
    """

    runs_in: Literal["thread"] = "thread"
    is_quick: Literal[True] = True
    name = "file.link"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING, required=True, description="the link; in the workspace, or absolute", access=Access.WRITES
        ),
        "source": SlotRule(
            SlotType.STRING, required=True, description="what it leads to, which must be there", access=Access.READS
        ),
        "within": WITHIN,
        "on_conflict": ON_CONFLICT,
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact: a link has no content that could be unknown."""
        unknown = unplanned(work, Change.UPDATE, "path", "source")
        if unknown is not None:
            return unknown
        with faults_told():
            path, target, _ = _link(work, work.real)
            led = _led(path)
            kind = seen(path) if led is None else Kind.LINK
            if isinstance(kind, Prediction):
                return kind
            refuse_other(path, kind)
            is_done = led is not None and leads_alike(path, led, target)
            if not is_done and (alone := left_alone(work, path, kind)) is not None:
                return alone
            return Prediction(
                Change.NOOP if is_done else _CHANGE_OF[kind],
                Fidelity.EXACT,
                why=outside(work.root, path),
                before=describe(path, kind=kind) if led is None else describe_link(led),
                after=describe_link(target),
                outputs={"path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Make the link, and the directories above it that are missing. Fails where there is nothing to link to."""
        with changing(work) as ledger:
            real = remembering()
            path, target, source = _link(work, real)
            if kind_of(source) is Kind.ABSENT:
                raise ActionFailed(f"`source` `{work.inputs['source']}` is not there")
            kind = kind_of(path)
            if kind is Kind.LINK and leads_alike(path, led := os.readlink(path), target):
                return _found(work, led)
            if (ended := decided(work, path, kind)) is not None:
                return ended
            after = link_fingerprint(target)
            below = gone_below(Path(path), work.inputs["path"]) if kind is Kind.DIRECTORY else ()
            records = (*below, _record(work, after))
            ledger.link(path, target, after, kind, real)
            outputs = {"path": work.inputs["path"]}
            return Done(outputs, undo=ledger.complete(), change=_CHANGE_OF[kind], records=records)

    def recognized(self, work: Work, real: Real) -> Done | None:
        """What `do` says where the link is there already and leads to something."""
        path, target, source = _link(work, real)
        led = link_at(path)
        is_done = led is not None and leads_alike(path, led, target) and kind_of(source) is not Kind.ABSENT
        return _found(work, led) if led is not None and is_done else None

    def undo(self, work: Work) -> None:
        """Bring back what stood there, and remove the directories that were made."""
        undo_changes(work)

    def verify(self, work: Work) -> Verified:
        """Whether the link is there and leads to `source`."""
        return verified(lambda: leads_to(*_link(work, real_folder)[:2]))


def _link(work: PlanWork | Work, real: Real) -> tuple[str, str, str]:
    """Where the link stands, its text, and where its source is: texts, since making a path costs more than a link."""
    path = confined_place(work, "path", "within", real)
    place = place_of(work.root, work.inputs["source"], "source", real)
    return path, link_to(place, path, work.inputs["source"], real), place


def _led(path: str) -> str | None:
    """What a link there says; None for anything else, also for what cannot be seen."""
    try:
        return link_at(path)
    except PermissionError:
        return None


def _found(work: Work, led: str) -> Done:
    """What came of a node whose link was there already, and says this."""
    record = _record(work, link_fingerprint(led))
    return Done({"path": work.inputs["path"]}, unchanged=True, change=Change.NOOP, records=(record,))


def _record(work: Work, after: str) -> Record:
    return here(work.inputs["path"], after, "link", source=work.inputs["source"])
