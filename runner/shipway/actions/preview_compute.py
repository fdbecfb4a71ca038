"""The action `preview.compute`: where a preview lives. A work tree here, or a checkout on a host that a hook may make first."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json
from shipway.checkouts import (
    is_checkout,
    is_pushed,
    local_place,
    make_work_tree,
    push_checkout,
    remove_pushed,
    remove_work_tree,
)
from shipway.checkpoint_store import change_environment, checkpoint_of
from shipway.checkpoints import MADE, Made, is_update
from shipway.compute_access import Refused, Unreachable
from shipway.declaration import OutputRule
from shipway.environment import output_variables
from shipway.environment_record import Checkpoint, with_checkpoint, without_checkpoint
from shipway.file_state import locate
from shipway.git_work import git_at
from shipway.hook_runs import HookRun, ask_hook, end_all_left_over, end_left_over, hook_env, known_outputs, run_hook
from shipway.nodes import Verified
from shipway.port_blocks import Owner
from shipway.preview_action import PreviewAction
from shipway.preview_folder import remove_folder_script
from shipway.preview_slots import COMMON, REMOVE, VERIFY_SCRIPT
from shipway.reaching import control_of, gone_with_root, open_access, outside_of, repository_access
from shipway.recorded_scripts import recorded_script
from shipway.sweeping import machines_in

_FACTS = ("kind", "root", "managed", "host", "user", "port", MADE)


class PreviewCompute(PreviewAction):
    """Makes the place, or brings the one that is there to the planned tree. Never makes a second of what may be there."""

    name = "preview.compute"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        "ssh": SlotRule(SlotType.OBJECT, description="`key` and `known_hosts`; it lives on a host where this is given"),
        "create": SlotRule(SlotType.STRING, description="the script that makes the host", is_script=True),
        "destroy": SlotRule(SlotType.STRING, description="the script that takes it away", is_script=True),
        "list": SlotRule(SlotType.STRING, description="the script that says what hosts there are", is_script=True),
        "root": SlotRule(SlotType.STRING, description="the folder on the host in which previews live"),
        "host": SlotRule(SlotType.STRING, description="the host; else output HOST of `create`"),
        "user": SlotRule(SlotType.STRING, description="who to be there; else output USER"),
        "port": SlotRule(SlotType.INTEGER, description="its port of ssh; else output PORT"),
        "path": SlotRule(SlotType.STRING, description="a checkout that is there, to be used and not to be removed"),
        "tree": SlotRule(SlotType.STRING, description="the tree that is planned"),
        **VERIFY_SCRIPT,
        **REMOVE,
    }
    outputs: Mapping[str, OutputRule] = {
        "kind": OutputRule("string"),
        "root": OutputRule("string"),
        "managed": OutputRule("boolean"),
        "host": OutputRule("string", required=False),
        "user": OutputRule("string", required=False),
        "port": OutputRule("integer", required=False),
        MADE: OutputRule("integer"),
    }
    removal = "the place and what is in it are removed"
    unkeyed = ("destroy", "list")
    in_place = ("tree",)

    def is_reversible(self, work: PlanWork) -> bool:
        """A host that a script makes only by one that takes it away."""
        return work.inputs.get("create") is None or work.inputs.get("destroy") is not None

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Make it, or bring it up to date."""
        if work.inputs.get("ssh") is None:
            return _make_here(work)
        given: Mapping[str, Json] = {}
        is_anew = True
        if work.inputs.get("create") is not None:
            # One that has only to get another tree, or to be looked at again (`--no-cache`, a failed run), is not made twice.
            if before is not None and (is_update(work) or before.stale) and _is_there(work, before):
                given, is_anew = _declared(before.outputs), False
            else:
                given = _created(work)
        return _checked_out(work, given, is_anew=is_anew)

    def adopt(self, work: Work) -> Made | None:
        """What a run that was killed left: asked for before anything is made. Raises ActionFailed where it cannot be told."""
        if work.inputs.get("ssh") is None or work.inputs.get("create") is None:
            return None
        begun = checkpoint_of(work)
        if begun is not None:
            end_left_over(repository_access(work), work)
        rules = _rules(work)
        if begun is not None and begun.outputs and _is_whole(begun.outputs, rules):
            return _checked_out(work, _declared(begun.outputs), is_anew=True)
        answer, given = _asked(work, begun, rules)
        if answer is Verified.HOLDS:
            return _checked_out(work, given, is_anew=True)
        if begun is not None and answer is Verified.UNKNOWN:
            text = "a run was ended while it made the host, and whether there is one cannot be told"
            raise ActionFailed(
                f"{text}: let `verify` of `create` say so (0 with its outputs, or 3), or run `shipway preview down`",
                code="verify_unknown",
            )
        return None

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether it is there; unknown where its host does not answer."""
        if checkpoint.outputs.get("kind") != "ssh":
            root = Path(str(checkpoint.outputs.get("root", "")))
            return Verified.HOLDS if is_checkout(git_at(work, root)) else Verified.GONE
        return _look(work, checkpoint)

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Take away what was made; of a checkout that was there before, only what was put into it."""
        outputs = checkpoint.outputs if checkpoint is not None else {}
        _end_hooks(work, outputs)
        if work.inputs.get("destroy") is not None and work.inputs.get("ssh") is not None:
            given = output_variables(known_outputs(work, checkpoint))
            env = hook_env(work, is_here=True, SHIPWAY_ACTION="destroy") | given
            with recorded_script(work, str(work.inputs["destroy"]), work.root) as script:
                run_hook(HookRun(script, repository_access(work), env), work)
            return True
        if outputs.get("managed") is False:
            with suppress(ActionFailed):
                open_access(outputs, work).run(remove_folder_script())
            return False
        if work.inputs.get("ssh") is None:
            return remove_work_tree(work)
        if checkpoint is None and work.inputs.get("host") is None:
            return False
        facts = outputs if outputs.get("host") else _facts(work, _declared(outputs))
        return remove_pushed(work, control_of(facts, work), str(facts["root"]))


def _end_hooks(work: Work, outputs: Mapping[str, Json]) -> None:
    """What goes away goes from under nobody, and what a hook of a killed run would still do nobody would take back."""
    end_all_left_over(repository_access(work), str(work.root), work)
    if outputs.get("root"):
        with suppress(ActionFailed):  # a host that is not reached has the removal fail, if that needs it
            access = outside_of(open_access(outputs, work))
            end_all_left_over(access, str(outputs["root"]), work)


def _make_here(work: Work) -> Made:
    path = work.inputs.get("path")
    if path is not None:
        place = locate(work.root, path)
        if not is_checkout(git_at(work, place)):
            raise ActionFailed(f"`{path}` is no checkout: there is nothing to attach to", is_permanent=True)
        return Made({"kind": "local", "root": str(place.resolve()), "managed": False})
    was_there = is_checkout(git_at(work, local_place(work)))
    make_work_tree(work)
    return Made({"kind": "local", "root": str(local_place(work)), "managed": True}, is_anew=not was_there)


def _checked_out(work: Work, given: Mapping[str, Json], *, is_anew: bool) -> Made:
    """The checkout on the host, as the hook and the slots say where that is."""
    facts = _facts(work, given)
    control = control_of(facts, work)
    if work.inputs.get("path") is None:
        push_checkout(work, control, str(facts["root"]))
    else:
        open_access(facts, work).run("true")
    return Made({**given, **facts}, is_anew=is_anew)


def _facts(work: Work | PlanWork, given: Mapping[str, Json]) -> dict[str, Json]:
    inputs = work.inputs
    found: dict[str, Json] = {"kind": "ssh", "managed": inputs.get("path") is None}
    for name in ("host", "user", "port"):
        value = inputs.get(name) if inputs.get(name) is not None else given.get(name.upper())
        if value not in (None, ""):
            found[name] = value
    if not found.get("host"):
        raise ActionFailed("no host is known: neither `host` nor an output HOST of `create` says it", is_permanent=True)
    port = found.get("port")
    if isinstance(port, str):
        if not (port.isascii() and port.isdigit()):
            raise Refused(f"output PORT `{port}` of `create` is no port")
        found["port"] = int(port)
    above = str(inputs.get("root") or "/srv/shipway").rstrip("/")
    own = f"{above}/{inputs['lifecycle']}-{inputs['target']}"
    return {**found, "root": own if inputs.get("path") is None else str(inputs["path"])}


def _created(work: Work) -> dict[str, Json]:
    """What `create` hands on, kept at once: should this run be killed now, the next one knows the host."""
    rules = _rules(work)
    env = hook_env(work, is_here=True, SHIPWAY_ACTION="create")
    try:
        given = run_hook(HookRun(str(work.inputs["create"]), repository_access(work), env, rules), work)
    except ActionFailed as error:
        if error.code == "exit":  # it said itself that it failed, and may be tried again
            change_environment(work, lambda record: without_checkpoint(record, work.node.id))
        raise
    kept = {name: value for name, value in given.items() if rules[name].type != "secret"}
    checkpoint = checkpoint_of(work)
    if checkpoint is not None and not checkpoint.made:
        noted = replace(checkpoint, outputs=kept)
        change_environment(work, lambda record: with_checkpoint(record, work.node.id, noted))
    return given


def _asked(
    work: Work | PlanWork, checkpoint: Checkpoint | None, rules: Mapping[str, OutputRule]
) -> tuple[Verified, Mapping[str, Json]]:
    """What `verify_script` says of the host; unknown where there is none."""
    script = work.inputs.get("verify_script")
    if script is None:
        return _listed(work), {}
    env = hook_env(work, is_here=True, SHIPWAY_ACTION="verify") | output_variables(known_outputs(work, checkpoint))
    cancelled = work.cancelled if isinstance(work, Work) else lambda: False
    answer, given = ask_hook(HookRun(str(script), repository_access(work), env, rules), cancelled)
    if answer is Verified.HOLDS and not _is_whole(given, rules):
        return (Verified.HOLDS if checkpoint is not None and checkpoint.made else Verified.UNKNOWN), {}
    return answer, given


def _listed(work: Work | PlanWork) -> Verified:
    """Gone where the hook `list` names no host of this preview. Raises ActionFailed where it names one: it is not made twice."""
    script = work.inputs.get("list")
    if script is None:
        return Verified.UNKNOWN
    env = hook_env(work, is_here=True, SHIPWAY_ACTION="list")
    ran = repository_access(work).run(str(script), env=env)
    owner = Owner(str(work.inputs["lifecycle"]), str(work.inputs["target"]))
    there = next((found.name for found in machines_in(ran.text, "") if found.owner == owner), None)
    if there is not None:
        raise ActionFailed(
            f"`list` names the host `{there}`, of which nothing is known: let `verify` of `create` hand out its outputs, "
            "or run `shipway preview down`",
            code="verify_unknown",
        )
    return Verified.GONE if ran.exit_code == 0 else Verified.UNKNOWN


def _is_there(work: Work, checkpoint: Checkpoint) -> bool:
    """Raises ActionFailed where that cannot be told: a second one might be made of it."""
    answer = _look(work, checkpoint)
    if answer is Verified.UNKNOWN:
        raise ActionFailed("whether the host is still there cannot be told", code="verify_unknown")
    return answer is Verified.HOLDS


def _look(work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
    """What the hook says of the host, and the host of the checkout."""
    if work.inputs.get("verify_script") is not None:
        answer, _ = _asked(work, checkpoint, {})
        if answer is not Verified.HOLDS:
            return answer
    access = open_access(checkpoint.outputs, work)
    is_managed = checkpoint.outputs.get("managed") is not False

    def standing() -> Verified:
        is_there = is_pushed(access, work) if is_managed else access.run("true").exit_code == 0
        return Verified.HOLDS if is_there else Verified.GONE

    try:
        return gone_with_root(standing)
    except Unreachable:
        return Verified.UNKNOWN


def _rules(work: Work) -> dict[str, OutputRule]:
    """The outputs that `create` is declared to hand on."""
    return {name: rule for name, rule in work.node.outputs.items() if name not in _FACTS}


def _is_whole(given: Mapping[str, Json], rules: Mapping[str, OutputRule]) -> bool:
    return all(name in given for name, rule in rules.items() if rule.required)


def _declared(outputs: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in outputs.items() if name not in _FACTS}
