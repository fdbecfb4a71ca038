"""The action `preview.infrastructure`: the containers of a preview, as a compose file says, on the ports that it leased."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, items_of, mapping
from shipway.checkpoints import Made
from shipway.compose_copy import Published
from shipway.compute_access import Refused
from shipway.containers import Project, is_engine_there
from shipway.environment_record import Checkpoint
from shipway.expression_values import to_text
from shipway.nodes import Verified
from shipway.preview_action import PreviewAction
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE, STOP
from shipway.reaching import access_of, declared_env, gone_with_root, outside_of


class PreviewInfrastructure(PreviewAction):
    """Starts the containers, and removes them with their networks and volumes. Without a compose file they are removed as well."""

    name = "preview.infrastructure"
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
    removal = "the containers are ended"

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Start them."""
        _project(work).up(_published(work), work.cancelled, work.log)
        return Made()

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether all of them run."""
        publish = {name: [port.port for port in ports] for name, ports in _published(work).items()}
        return gone_with_root(lambda: _project(work).verify(publish))

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """Take them away; with `stop` only end them. From outside of the place, which may be gone.

        Where nothing was begun, no engine has to answer.
        """
        if not work.inputs.get("compute"):
            return False
        project = _project(work)
        outside = outside_of(project.access)
        if not is_engine_there(outside):
            return False
        ending = replace(project, access=outside)
        is_stop = work.inputs.get("stop") and not work.inputs.get("remove")
        try:
            return ending.stop(work.cancelled) if is_stop else ending.remove(work.cancelled)
        except ActionFailed:
            if checkpoint is None:
                return False
            raise


def _project(work: Work | PlanWork) -> Project:
    inputs = work.inputs
    variables = {name: to_text(value) for name, value in mapping(inputs.get("variables")).items()}
    access = access_of(work)
    return Project(
        access,
        access.root,
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
