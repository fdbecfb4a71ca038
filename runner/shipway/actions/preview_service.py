"""The action `preview.service`: a service of a preview, supervised where it lives, and ready when the node has succeeded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from msgspec.structs import replace

from shipway.action import ActionFailed, Done, PlanWork, Prediction, SlotRule, SlotType, Work
from shipway.canonical import mapping
from shipway.checkpoints import MADE, Made, checkpointed, foretold, removed, undone, verified
from shipway.compute_access import Access, Refused
from shipway.declaration import OutputRule
from shipway.environment_record import Checkpoint
from shipway.nodes import Change, Fidelity, Verified
from shipway.preview_folder import log_path
from shipway.preview_slots import COMMON, IN_PLACE, REMOVE, STOP
from shipway.reaching import nothing_there, open_access, outside_of
from shipway.readiness import Ready, answers, ready_of, wait_ready
from shipway.supervision import Grouped, Service, start, status, stop, tail

_UNKEYED = ("remove", "stop")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class PreviewService:
    """Starts `command` in `path` with what `env_file` holds, and waits until it is ready. Ended with all that it started."""

    runs_in: Literal["thread"] = "thread"
    name = "preview.service"
    contract = 1
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

    def plan(self, work: PlanWork) -> Prediction:
        """Kept while it runs and answers, else started anew; or that it ends."""
        if work.inputs.get("remove") or work.inputs.get("stop"):
            return Prediction(Change.DELETE, Fidelity.PREDICTED, "its processes are ended")
        return foretold(
            work,
            contract=self.contract,
            verify=_verify,
            change_when_made=Change.CREATE,
            unkeyed=_UNKEYED,
            reversible=True,
        )

    def do(self, work: Work) -> Done:
        """Start it, unless it runs and answers; with `remove` or `stop` end it."""
        if work.inputs.get("remove") or work.inputs.get("stop"):
            return removed(work, remove=_remove)
        return checkpointed(work, contract=self.contract, verify=_verify, make=_make, unkeyed=_UNKEYED)

    def undo(self, work: Work) -> None:
        """End it."""
        undone(work, remove=_remove)

    def verify(self, work: Work) -> Verified:
        """Whether it runs and answers."""
        is_ending = bool(work.inputs.get("stop"))
        given = replace(work, inputs={**work.inputs, "remove": True}) if is_ending else work
        return verified(given, verify=_verify)


def _make(work: Work, before: Checkpoint | None) -> Made:
    access, service, ready = _access(work), _service(work), _ready(work)
    stop(outside_of(access), access.root, service)
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


def _verify(work: Work | PlanWork, checkpoint: Checkpoint) -> Verified:
    access, service = _access(work), _service(work)
    try:
        if status(access, service) is Grouped.GONE:
            return Verified.GONE
        ready = _ready(work)
        return Verified.HOLDS if ready is None or answers(access, service, ready) else Verified.GONE
    except ActionFailed as error:
        if nothing_there(error):
            return Verified.GONE
        raise


def _remove(work: Work, checkpoint: Checkpoint | None) -> bool:
    if not work.inputs.get("compute"):
        return False
    access = _access(work)
    return stop(outside_of(access), access.root, _service(work))


def _access(work: Work | PlanWork) -> Access:
    return open_access(mapping(work.inputs.get("compute")), work.inputs.get("ssh"), work)


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
