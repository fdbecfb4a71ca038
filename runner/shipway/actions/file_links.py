"""The action `file.links`: many symbolic links of one folder, each to the file of its name in another. Touches none of those."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from shipway.action import Access, ActionFailed, Done, Drifted, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.declaration import OutputRule
from shipway.file_content import outside, unplanned, verified
from shipway.file_linking import Linking, Look, linking_of, named
from shipway.file_placing import WITHIN, policy_of, refuse_other
from shipway.file_records import gone_below
from shipway.file_state import Kind, Real, describe, real_folder, remembering, shown_target
from shipway.nodes import DONE, Change, Fidelity, Verified
from shipway.replacement import Placement, changing, faults_told, is_being_undone, undo_changes

_POLICIES = ("overwrite", "stop")


class FileLinks:
    """Links each of `names` in the folder `path` to the file of that name in the folder `source`, as `file.link` does one.

    All links are made, or none. Undo takes back each that is as it was left, and names those that are not.
    """

    runs_in: Literal["thread"] = "thread"
    is_quick: Literal[True] = True
    name = "file.links"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        "path": SlotRule(
            SlotType.STRING,
            required=True,
            description="the folder of the links; in the workspace, or absolute",
            access=Access.WRITES,
            below="names",
        ),
        "source": SlotRule(
            SlotType.STRING,
            required=True,
            description="the folder of what they lead to, which must be there",
            access=Access.READS,
            below="names",
        ),
        "names": SlotRule(SlotType.LIST, required=True, description="the names of the links, and of what they lead to"),
        "within": WITHIN,
        "on_conflict": SlotRule(
            SlotType.STRING,
            description="what is done about something that stands at one of them: `overwrite` (the default) `stop`",
        ),
    }
    outputs: Mapping[str, OutputRule] = {"path": OutputRule("string")}

    def plan(self, work: PlanWork) -> Prediction:
        """Exact: what stands under each name, and what its link will say."""
        unknown = unplanned(work, Change.UPDATE, "path", "source", "names")
        if unknown is not None:
            return unknown
        with faults_told():
            linking = _linking(work, work.real)
            try:
                look = linking.look()
            except PermissionError as error:
                why = f"what stands there cannot be seen: permission denied: `{error.filename}`"
                return Prediction(
                    Change.UPDATE, Fidelity.OPAQUE, why=why, before={"kind": "unreadable"}, reversible=True
                )
            for name, kind in look.others.items():
                refuse_other(linking.at(name), kind)
            return Prediction(
                look.change,
                Fidelity.EXACT,
                why=outside(work.root, linking.folder),
                before=_before(linking, look),
                after=_after(linking),
                outputs={"path": work.inputs["path"]},
                reversible=True,
            )

    def do(self, work: Work) -> Done:
        """Make the links, and the directories above them that are missing. Fails where there is nothing to link to."""
        with changing(work) as ledger:
            real = remembering()
            linking = _linking(work, real)
            if name := linking.without_source():
                raise ActionFailed(f"`source` `{work.inputs['source']}/{name}` is not there")
            look = linking.look()
            if look.is_done:
                return _found(work, linking, look)
            linking.refuse(look.others, work, ledger.restored)
            below = [
                record
                for name, kind in look.others.items()
                if kind is Kind.DIRECTORY
                for record in gone_below(Path(linking.at(name)), f"{work.inputs['path']}/{name}")
            ]
            ledger.link_all(linking, look.missing, real)
            if look.others:
                ledger.make_parents(linking.at(linking.names[0]), real)
                ledger.place(
                    [
                        Placement(Path(linking.at(name)), linking.after(name), ledger.new_link(linking.text(name)))
                        for name in look.others
                    ]
                )
            records = (*below, *linking.records(look))
            return Done({"path": work.inputs["path"]}, undo=ledger.complete(), change=look.change, records=records)

    def recognized(self, work: Work, real: Real) -> Done | None:
        """What `do` says where all links are there already and lead to something."""
        linking = _linking(work, real)
        look = linking.look()
        return _found(work, linking, look) if look.is_done and not linking.without_source() else None

    def undo(self, work: Work) -> None:
        """Bring back what stood there, and remove the directories that were made."""
        try:
            undo_changes(work, each=True)
        except Drifted as drifted:
            folder = str(work.inputs["path"])
            left = tuple(named(folder, path.rpartition("/")[2]) for path in drifted.left)
            raise Drifted(str(drifted), left=left) from drifted

    def verify(self, work: Work) -> Verified:
        """Whether every link is there; while they are taken back, whether any change of it may be left."""
        if work.outcome in DONE and is_being_undone(work):
            return Verified.HOLDS
        return verified(lambda: _linking(work, real_folder).look().is_done)


def _linking(work: PlanWork | Work, real: Real) -> Linking:
    policy = policy_of(work)
    if policy not in _POLICIES:
        raise ActionFailed(f"`on_conflict` is `{policy}`: for links that are made together it is `overwrite` or `stop`")
    return linking_of(work, real)


def _found(work: Work, linking: Linking, look: Look) -> Done:
    """What came of a node whose links were there already."""
    return Done({"path": work.inputs["path"]}, unchanged=True, change=Change.NOOP, records=linking.records(look))


def _before(linking: Linking, look: Look) -> Json:
    """What stands there: of a link what it says, of all else what `describe` does; `alike` lead there in other words."""
    entries: dict[str, Json] = {name: shown_target(linking.text(name)) for name in look.linked}
    entries |= {name: shown_target(led) for name, led in look.alike.items()}
    for name, kind in look.others.items():
        found = describe(linking.at(name), kind=kind)
        entries[name] = found["target"] if isinstance(found, Mapping) and kind is Kind.LINK else found
    alike: dict[str, Json] = {"alike": list(look.alike)} if look.alike else {}
    return {**alike, "entries": entries} if entries else None


def _after(linking: Linking) -> Json:
    """What each link will say: the same whatever stands there, as an approval is held to it."""
    return {"entries": {name: shown_target(linking.text(name)) for name in linking.names}}
