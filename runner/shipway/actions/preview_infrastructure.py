"""The action `preview.infrastructure`: the containers of a preview, as a compose file says, on the ports that it leased."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import Json, items_of, mapping
from shipway.checkpoints import MADE, Made, checkpointed, foretold, removed, undone, verified
from shipway.compose_copy import Published
from shipway.compute_access import Refused
from shipway.containers import Project, is_engine_there
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint
from shipway.expression_values import to_text
from shipway.nodes import Change, Fidelity, Verified
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE, STOP
from shipway.reaching import declared_env, nothing_there, open_access, outside_of

_UNKEYED = ("remove", "stop")


class PreviewInfrastructure:
    """Starts the containers, and removes them with their networks and volumes. Without a compose file they are removed as well."""

    runs_in: Literal["thread"] = "thread"
    name = "preview.infrastructure"
    contract = 1
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "compose_file": SlotRule(SlotType.STRING, required=True, description="the file, from the root of the preview"),
        "project": SlotRule(SlotType.STRING, required=True, description="what the containers are called together"),
        "publish": SlotRule(SlotType.OBJECT, description="container to its ports, with what each is leased on"),
        "variables": SlotRule(SlotType.OBJECT, description="what the compose file is told"),
        **REMOVE,
        **STOP,
    }
    outputs: Mapping[str, OutputRule] = {MADE: OutputRule("integer")}

    def plan(self, work: PlanWork) -> Prediction:
        """Kept while all of them run, else started."""
        if work.inputs.get("remove") or work.inputs.get("stop"):
            return Prediction(Change.DELETE, Fidelity.PREDICTED, "the containers are ended")
        return foretold(
            work,
            contract=self.contract,
            verify=_verify,
            change_when_made=Change.CREATE,
            unkeyed=_UNKEYED,
            reversible=True,
        )

    def do(self, work: Work) -> Done:
        """Start them; with `remove` take them away, with `stop` only end them."""
        if work.inputs.get("remove"):
            return removed(work, remove=_remove)
        if work.inputs.get("stop"):
            return removed(work, remove=_stop)
        return checkpointed(work, contract=self.contract, verify=_verify, make=_make, unkeyed=_UNKEYED)

    def undo(self, work: Work) -> None:
        """Remove them."""
        undone(work, remove=_remove)

    def verify(self, work: Work) -> Verified:
        """Whether all of them run."""
        is_ending = bool(work.inputs.get("stop"))
        given = replace(work, inputs={**work.inputs, "remove": True}) if is_ending else work
        return verified(given, verify=_verify)


def _make(work: Work, before: Checkpoint | None) -> Made:
    _project(work).up(_published(work), work.cancelled, work.log)
    return Made()


def _verify(work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
    publish = {name: [port.port for port in ports] for name, ports in _published(work).items()}
    try:
        return _project(work).verify(publish)
    except ActionFailed as error:
        if nothing_there(error):
            return Verified.GONE
        raise


def _remove(work: Work, checkpoint: Checkpoint | None) -> bool:
    return _ended(work, checkpoint, lambda project: project.remove(work.cancelled))


def _stop(work: Work, checkpoint: Checkpoint | None) -> bool:
    return _ended(work, checkpoint, lambda project: project.stop(work.cancelled))


def _ended(work: Work, checkpoint: Checkpoint | None, end: Callable[[Project], bool]) -> bool:
    """From outside of the place, which may be gone. Where nothing was begun, no engine has to answer."""
    if not work.inputs.get("compute"):
        return False
    project = _project(work)
    outside = outside_of(project.access)
    if not is_engine_there(outside):
        return False
    try:
        return end(replace(project, access=outside))
    except ActionFailed:
        if checkpoint is None:
            return False
        raise


def _project(work: Work | PlanWork) -> Project:
    inputs = work.inputs
    variables = {name: to_text(value) for name, value in mapping(inputs.get("variables")).items()}
    return Project(
        open_access(mapping(inputs.get("compute")), inputs.get("ssh"), work),
        str(inputs["project"]),
        str(inputs["compose_file"]),
        f"{inputs['lifecycle']}/{inputs['target']}",
        {**declared_env(work), **variables},
    )


def _published(work: Work | PlanWork) -> dict[str, list[Published]]:
    publish = mapping(work.inputs.get("publish"))
    return {name: [_port(mapping(port)) for port in items_of(ports)] for name, ports in publish.items()}


def _port(written: Mapping[str, Json]) -> Published:
    try:
        inner, outer = int(to_text(written.get("container_port"))), int(to_text(written.get("port")))
    except ValueError:
        raise Refused("`publish`: a port is no number") from None
    return Published(inner, outer, str(written.get("variable") or ""), str(written.get("protocol") or "tcp"))
