"""The action `preview.hook`: a script that makes or changes something of a preview, and another that takes that back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json, mapping
from shipway.checkpoints import MADE, Made, is_ending, renewed
from shipway.compute_access import Access
from shipway.declaration import OutputRule
from shipway.environment import output_variables
from shipway.environment_record import Checkpoint
from shipway.hook_runs import HookRun, ask_hook, hook_env, known_outputs, run_hook
from shipway.nodes import Change, Fidelity, Verified
from shipway.preview_action import PreviewAction
from shipway.preview_names import INIT
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE, VERIFY_SCRIPT
from shipway.reaching import access_of, repository_access
from shipway.recorded_scripts import recorded_script

_REPOSITORY, _COMPUTE = "repository", "compute"


class PreviewHook(PreviewAction):
    """Runs `run` in the repository or where the preview lives. Kept while its inputs are the same and `verify_script` agrees."""

    name = "preview.hook"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "run": SlotRule(SlotType.STRING, required=True, description="the script, POSIX sh", is_script=True),
        "where": SlotRule(SlotType.STRING, default=_REPOSITORY, description="repository or compute"),
        "cache": SlotRule(SlotType.BOOLEAN, default=True, description="false: it runs at each up"),
        "undo": SlotRule(SlotType.STRING, description="the script that takes it back", is_script=True),
        "undo_where": SlotRule(SlotType.STRING, default=_REPOSITORY, description="repository or compute"),
        "instead": SlotRule(SlotType.STRING, description="run this on what is there, such as a reset", is_script=True),
        "service": SlotRule(SlotType.STRING, description="what SHIPWAY_SERVICE says"),
        "action": SlotRule(SlotType.STRING, default="run", description="what SHIPWAY_ACTION says"),
        **VERIFY_SCRIPT,
        **REMOVE,
    }
    removal = "the hook that takes it back is run"
    change = Change.RUN
    unkeyed = ("undo", "undo_where", "instead", "action")

    def plan(self, work: PlanWork) -> Prediction:
        """Kept, or opaque: only running it tells."""
        if is_ending(work):
            return Prediction(Change.RUN, Fidelity.OPAQUE, self.removal)
        if work.inputs.get("instead") is not None:
            # What it hands out then is not what it handed out before.
            return Prediction(Change.UPDATE, Fidelity.OPAQUE, "it was asked for", reversible=self.is_reversible(work))
        if work.inputs.get("action") == INIT:
            return Prediction(Change.RUN, Fidelity.OPAQUE, "only running it tells")
        return super().plan(work)

    def do(self, work: Work) -> Done:
        """Run it, unless it is kept; with `remove` what takes it back."""
        if not is_ending(work) and work.inputs.get("instead") is not None:
            return renewed(work, make=lambda given, before: Made(_run(given, str(given.inputs["instead"]))))
        if not is_ending(work) and work.inputs.get("action") == INIT:
            # Once for a lifecycle: it belongs to no environment.
            return Done({**_run(work, str(work.inputs["run"])), MADE: 1})
        return super().do(work)

    def is_reversible(self, work: PlanWork) -> bool:
        """Only by a script."""
        return work.inputs.get("undo") is not None

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Run it."""
        return Made(_run(work, str(work.inputs["run"])))

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """What `verify_script` says; without one it holds, as far as anybody knows."""
        script = work.inputs.get("verify_script")
        if script is None:
            return Verified.HOLDS
        given = known_outputs(work, checkpoint)
        hook = _hook(work, str(script), "where", {}, **output_variables(given))
        return ask_hook(hook, work.cancelled if isinstance(work, Work) else lambda: False)[0]

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Run what takes it back."""
        script = work.inputs.get("undo")
        if script is None:
            return checkpoint is not None
        if checkpoint is None and work.shelf is not None:
            return False  # no run ever began to make it, or it was taken away already: both are noted before and after
        if work.inputs["undo_where"] == _COMPUTE and not work.inputs.get("compute"):
            return False  # it was never made, so that nothing is there
        given = known_outputs(work, checkpoint)
        more = {"SHIPWAY_ACTION": "destroy", **output_variables(given)}
        is_here = work.inputs.get("ssh") is None
        place = mapping(work.inputs.get("compute")).get("root") if work.inputs["undo_where"] == _COMPUTE else work.root
        if not is_here and place != work.root:
            run_hook(_hook(work, str(script), "undo_where", {}, **more), work)
            return True
        with recorded_script(work, str(script), Path(str(place))) as found:
            run_hook(_hook(work, found, "undo_where", {}, **more), work)
        return True


def _run(work: Work, script: str) -> dict[str, Json]:
    rules = {name: rule for name, rule in work.node.outputs.items() if name != MADE}
    return run_hook(_hook(work, script, "where", rules), work)


def _hook(work: Work | PlanWork, script: str, where: str, rules: Mapping[str, OutputRule], **more: str) -> HookRun:
    access = _access(work, str(work.inputs.get(where) or _REPOSITORY))
    is_here = work.inputs.get("ssh") is None or access.root == str(work.root)
    return HookRun(script, access, {**hook_env(work, is_here=is_here), **more}, rules)


def _access(work: Work | PlanWork, where: str) -> Access:
    if where == _REPOSITORY:
        return repository_access(work)
    if where != _COMPUTE or not isinstance(work.inputs.get("compute"), Mapping):
        raise ActionFailed(f"`where` `{where}`: it takes `repository`, or `compute` with one", is_permanent=True)
    return access_of(work)
