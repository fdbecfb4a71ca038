"""The action `preview.env_file`: one env file of a preview, with what its services are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import mapping
from shipway.checkpoints import MADE, Made, checkpointed, foretold, removed, undone, verified
from shipway.declaration import OutputRule
from shipway.env_files import EnvFile
from shipway.env_text import env_text
from shipway.environment_record import Checkpoint
from shipway.expression_values import to_text
from shipway.nodes import Change, Fidelity, Verified
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE
from shipway.reaching import nothing_there, open_access

_UNKEYED = ("remove",)


class PreviewEnvFile:
    """Writes `entries` to `path` of the checkout; what stood there and is not Shipway's is kept aside and comes back."""

    runs_in: Literal["thread"] = "thread"
    name = "preview.env_file"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "path": SlotRule(SlotType.STRING, required=True, description="the file, relative to the root of the preview"),
        "entries": SlotRule(SlotType.OBJECT, required=True, description="name to text"),
        **REMOVE,
    }
    outputs: Mapping[str, OutputRule] = {MADE: OutputRule("integer")}

    def plan(self, work: PlanWork) -> Prediction:
        """Kept, or written; or that it goes."""
        if work.inputs.get("remove"):
            return Prediction(
                Change.DELETE, Fidelity.PREDICTED, "the file is removed, and what was there before is put back"
            )
        return foretold(
            work,
            contract=self.contract,
            verify=_verify,
            change_when_made=Change.CREATE,
            unkeyed=_UNKEYED,
            reversible=True,
        )

    def do(self, work: Work) -> Done:
        """Write it, unless it is there as it is to be; with `remove` take it away."""
        if work.inputs.get("remove"):
            return removed(work, remove=_remove)
        return checkpointed(
            work, contract=self.contract, verify=_verify, make=_make, unkeyed=_UNKEYED, is_one_step=True
        )

    def undo(self, work: Work) -> None:
        """Take it away, and bring back what stood there."""
        undone(work, remove=_remove)

    def verify(self, work: Work) -> Verified:
        """Whether it holds what was written."""
        return verified(work, verify=_verify)


def _make(work: Work, before: Checkpoint | None) -> Made:
    _file(work).write(_text(work))
    return Made()


def _verify(work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
    # Of a run that is over the secrets are not known any more: that it is there, and ours, is what can be told then.
    is_over = isinstance(work, Work) and work.outcome is not None
    is_known = "entries" in work.inputs and not is_over
    try:
        return _file(work).verify(_text(work) if is_known else None)
    except ActionFailed as error:
        if nothing_there(error):
            return Verified.GONE
        raise


def _remove(work: Work, checkpoint: Checkpoint | None) -> bool:
    if not work.inputs.get("compute"):
        return False
    try:
        return _file(work).remove()
    except ActionFailed as error:
        if nothing_there(error):
            return False
        raise


def _file(work: Work | PlanWork) -> EnvFile:
    access = open_access(mapping(work.inputs.get("compute")), work.inputs.get("ssh"), work)
    return EnvFile(access, str(work.inputs["path"]), _owner(work))


def _owner(work: Work | PlanWork) -> str:
    return f"{work.inputs['lifecycle']}/{work.inputs['target']}"


def _text(work: Work | PlanWork) -> str:
    entries = mapping(work.inputs["entries"])
    return env_text({name: to_text(value) for name, value in entries.items()}, _owner(work))
