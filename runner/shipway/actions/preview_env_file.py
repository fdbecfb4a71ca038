"""The action `preview.env_file`: one env file of a preview, with what its services are told."""

from __future__ import annotations

from collections.abc import Mapping

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import mapping
from shipway.checkpoints import Made
from shipway.env_files import EnvFile
from shipway.env_text import env_text
from shipway.environment_record import Checkpoint
from shipway.expression_values import to_text
from shipway.nodes import Verified
from shipway.preview_action import PreviewAction
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE
from shipway.reaching import access_of, gone_with_root, nothing_there


class PreviewEnvFile(PreviewAction):
    """Writes `entries` to `path` of the checkout; what stood there and is not Shipway's is kept aside and comes back."""

    name = "preview.env_file"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "path": SlotRule(SlotType.STRING, required=True, description="the file, relative to the root of the preview"),
        "entries": SlotRule(SlotType.OBJECT, required=True, description="name to text"),
        **REMOVE,
    }
    removal = "the file is removed, and what was there before is put back"
    is_one_step = True

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Write it."""
        _file(work).write(_text(work))
        return Made()

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether it holds what was written."""
        # Of a run that is over the secrets are not known any more: that it is there, and ours, is what can be told then.
        is_over = isinstance(work, Work) and work.outcome is not None
        is_known = "entries" in work.inputs and not is_over
        return gone_with_root(lambda: _file(work).verify(_text(work) if is_known else None))

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Take it away, and bring back what stood there."""
        if not work.inputs.get("compute"):
            return False
        try:
            return _file(work).remove()
        except ActionFailed as error:
            if nothing_there(error):
                return False
            raise


def _file(work: Work | PlanWork) -> EnvFile:
    return EnvFile(access_of(work), str(work.inputs["path"]), _owner(work))


def _owner(work: Work | PlanWork) -> str:
    return f"{work.inputs['lifecycle']}/{work.inputs['target']}"


def _text(work: Work | PlanWork) -> str:
    entries = mapping(work.inputs["entries"])
    return env_text({name: to_text(value) for name, value in entries.items()}, _owner(work))
