"""The action `preview.service`: a service of a preview, supervised where it lives, and ready when the node has succeeded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from shipway.action import ActionFailed, PlanWork, SlotRule, SlotType, Work
from shipway.canonical import Json, mapping
from shipway.checkpoints import MADE, Made
from shipway.compute_access import Access, Refused
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint
from shipway.nodes import Verified
from shipway.preview_action import PreviewAction
from shipway.preview_folder import log_path
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE, STOP
from shipway.reaching import access_of, gone_with_root, outside_of
from shipway.readiness import Ready, answers, ready_of, wait_ready
from shipway.supervision import Grouped, Service, start, status, stop, tail

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class PreviewService(PreviewAction):
    """Starts `command` in `path` with what `env_file` holds, and waits until it is ready. Ended with all that it started."""

    name = "preview.service"
    slots: Mapping[str, SlotRule] = {
        **COMMON,
        **IN_PLACE,
        "name": SlotRule(SlotType.STRING, required=True, description="the service"),
        "command": SlotRule(SlotType.STRING, required=True, description="what runs, POSIX sh", is_script=True),
        "path": SlotRule(SlotType.STRING, default=".", description="the folder it runs in"),
        "env_file": SlotRule(SlotType.STRING, description="the env file that it is given, from the root"),
        "port": SlotRule(SlotType.INTEGER, description="the port that it is to listen on"),
        "ready": SlotRule(SlotType.OBJECT, description="`tcp`, `http` or `run`, with `within_ms` and `every_ms`"),
        **REMOVE,
        **STOP,
    }
    outputs: Mapping[str, OutputRule] = {"log": OutputRule("string"), MADE: OutputRule("integer")}
    removal = "its processes are ended"

    def make(self, work: Work, before: Checkpoint | None) -> Made:
        """Start it anew, and wait until it is ready."""
        access, service, ready = access_of(work), _service(work), _ready(work)
        stop(outside_of(access), access.root, service)
        _refuse_taken(access, service, work.inputs.get("port"))
        try:
            start(access, service)
            if ready is not None:
                wait_ready(access, service, ready, work.cancelled)
        except ActionFailed:
            with suppress(ActionFailed):
                work.log(tail(access, service))
            stop(outside_of(access), access.root, service)
            raise
        return Made({"log": log_path(service.name)})

    def look(self, work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
        """Whether it runs and answers."""
        return gone_with_root(lambda: _state(work))

    def remove(self, work: Work, checkpoint: Checkpoint | None) -> bool:
        """End it, with all that it started."""
        if not work.inputs.get("compute"):
            return False
        access = access_of(work)
        return stop(outside_of(access), access.root, _service(work))


def _refuse_taken(access: Access, service: Service, port: Json) -> None:
    """Before it is started nothing may answer there: that would be taken for its own answer, and it would end soon after."""
    if isinstance(port, int) and answers(access, service, Ready(port=port)):
        raise ActionFailed(
            f"another program answers on port {port}, where `{service.name}` is to listen: end that one; or take the environment"
            " down and up again, for other ports"
        )


def _state(work: Work | PlanWork) -> Verified:
    access, service = access_of(work), _service(work)
    if status(access, service) is Grouped.GONE:
        return Verified.GONE
    ready = _ready(work)
    return Verified.HOLDS if ready is None or answers(access, service, ready) else Verified.GONE


def _service(work: Work | PlanWork) -> Service:
    inputs = work.inputs
    if not _NAME.fullmatch(str(inputs["name"])):
        raise Refused(f"`{inputs['name']}` is no name of a service")
    return Service(
        name=str(inputs["name"]),
        mark=f"{inputs['lifecycle']}/{inputs['target']}/{inputs['name']}",
        command=str(inputs.get("command") or ""),
        path=str(inputs.get("path") or "."),
        env_file=str(inputs.get("env_file") or ""),
    )


def _ready(work: Work | PlanWork) -> Ready | None:
    port = work.inputs.get("port")
    return ready_of(mapping(work.inputs.get("ready") or {"tcp": True}), port if isinstance(port, int) else 0)
