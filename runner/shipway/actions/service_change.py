"""The actions `service.start`, `stop`, `enable`, `disable` and `restart`: services of systemd, with the inverse as undo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from shipway.action import ActionFailed, Done, NotUndoable, PlanWork, Prediction, SlotRule, Work
from shipway.declaration import OutputRule
from shipway.file_content import unplanned
from shipway.nodes import Change, Fidelity, Verified
from shipway.records import Record
from shipway.services import NAME, ROOT, ServiceState, ServiceWork, change_service, observe_service, undo_service

_OUTPUTS: Mapping[str, OutputRule] = {"name": OutputRule("string")}


class _Switch:
    """Brings a service into a state; undo calls the inverse, only if the state was changed."""

    runs_in: Literal["thread"] = "thread"
    contract = 1
    slots: Mapping[str, SlotRule] = {"name": NAME}
    outputs = _OUTPUTS
    verb = ""
    inverse = ""

    def plan(self, work: PlanWork) -> Prediction:
        """Whether it is so already."""
        unknown = unplanned(work, Change.UPDATE, *self.slots)
        if unknown is not None:
            return unknown
        service = ServiceWork.of(work)
        state = service.state()
        if not state.exists:
            why = f"there is no service `{service.name}` yet"
            return Prediction(Change.UPDATE, Fidelity.OPAQUE, why=why, reversible=True)
        after = self._after(state)
        change = Change.NOOP if after == state else Change.UPDATE
        outputs = {"name": service.name}
        return Prediction(
            change, Fidelity.EXACT, before=state.as_json(), after=after.as_json(), outputs=outputs, reversible=True
        )

    def do(self, work: Work) -> Done:
        """Call systemctl, unless it is so already."""
        return change_service(work, self.verb, self.inverse, self._is_so)

    def undo(self, work: Work) -> None:
        """Call the inverse, if `do` changed something."""
        undo_service(work, self.inverse, self._is_so)

    def verify(self, work: Work) -> Verified:
        """Whether it is so."""
        return Verified.HOLDS if self._is_so(ServiceWork.of(work).state()) else Verified.GONE

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        """How it is now."""
        return observe_service(record, root, env)

    def _is_so(self, state: ServiceState) -> bool:
        return self._after(state) == state

    def _after(self, state: ServiceState) -> ServiceState:
        raise NotImplementedError


class ServiceStart(_Switch):
    """Starts `name` unless it runs; undo stops it."""

    name, verb, inverse = "service.start", "start", "stop"

    def _after(self, state: ServiceState) -> ServiceState:
        return replace(state, running=True)


class ServiceStop(_Switch):
    """Stops `name` if it runs; undo starts it."""

    name, verb, inverse = "service.stop", "stop", "start"

    def _after(self, state: ServiceState) -> ServiceState:
        return replace(state, running=False)


class ServiceEnable(_Switch):
    """Lets `name` start with the system; undo disables it."""

    name, verb, inverse = "service.enable", "enable", "disable"
    slots: Mapping[str, SlotRule] = {"name": NAME, "root": ROOT}

    def _after(self, state: ServiceState) -> ServiceState:
        return replace(state, enabled=True)


class ServiceDisable(_Switch):
    """Lets `name` not start with the system; undo enables it."""

    name, verb, inverse = "service.disable", "disable", "enable"
    slots: Mapping[str, SlotRule] = {"name": NAME, "root": ROOT}

    def _after(self, state: ServiceState) -> ServiceState:
        return replace(state, enabled=False)


class ServiceRestart:
    """Restarts `name`, or starts it where it does not run. It cannot be undone."""

    runs_in: Literal["thread"] = "thread"
    name = "service.restart"
    contract = 1
    slots: Mapping[str, SlotRule] = {"name": NAME}
    outputs = _OUTPUTS

    def plan(self, work: PlanWork) -> Prediction:
        """It always does something."""
        unknown = unplanned(work, Change.RUN, *self.slots)
        if unknown is not None:
            return unknown
        service = ServiceWork.of(work)
        state = service.state()
        if not state.exists:
            return Prediction(Change.RUN, Fidelity.OPAQUE, why=f"there is no service `{service.name}` yet")
        after = replace(state, running=True).as_json()
        return Prediction(
            Change.RUN, Fidelity.EXACT, before=state.as_json(), after=after, outputs={"name": service.name}
        )

    def do(self, work: Work) -> Done:
        """Restart it."""
        service = ServiceWork.of(work)
        if not service.state().exists:
            raise ActionFailed(f"there is no service `{service.name}`", is_permanent=True)
        service.call("restart")
        return Done({"name": service.name}, change=Change.RUN, records=(service.record(service.state()),))

    def undo(self, work: Work) -> None:
        """Nothing takes a restart back."""
        raise NotUndoable("a restart cannot be taken back")

    def verify(self, work: Work) -> Verified:
        """Whether it runs; of one that never reported that says nothing."""
        running = ServiceWork.of(work).state().running
        return (Verified.HOLDS if work.outputs else Verified.UNKNOWN) if running else Verified.GONE

    def observe(self, record: Record, root: Path, env: Mapping[str, str]) -> str | None:
        """How it is now."""
        return observe_service(record, root, env)
